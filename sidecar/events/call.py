"""How a subscriber is called: its async callable, and how many parameters that takes."""

import asyncio.coroutines
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias, TypeGuard

from sidecar.errors import ProjectionError

Call: TypeAlias = Callable[..., Awaitable[object]]

MAX_HANDLER_PARAMETERS: Final = 3

# Before Python 3.12 lets `inspect` mark coroutine functions, asyncio had a mark, which mocks have.
_MARK: Final[object] = getattr(asyncio.coroutines, "_is_coroutine", None)
_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def find_call(target: object, *, prefers_itself: bool) -> Call:
    """Return what is awaited for each event: `handle` of an object, or the object itself.

    Args:
        target: What was added.
        prefers_itself: Whether an async callable is called itself although it has a `handle`, as a
            mock has every attribute.

    Raises:
        ProjectionError: Neither is asynchronous.
    """
    if isinstance(target, type) and inspect.isfunction(
        inspect.getattr_static(target, "handle", None)
    ):
        raise ProjectionError(
            f"{target.__name__} is a class; add an object of it, as in `{target.__name__}()`."
        )
    if prefers_itself and is_asynchronous(target) and not hasattr(target.__class__, "handle"):
        return target
    for call in (getattr(target, "handle", None), target):
        if is_asynchronous(call):
            return call
    raise ProjectionError(
        f"{target!r} is neither an async function nor an object with `async handle(event)`; "
        "write `async def`."
    )


def is_asynchronous(call: object) -> TypeGuard[Call]:
    """Return True when a call gives an awaitable, as far as that shows without calling."""
    if isinstance(call, partial):
        return is_asynchronous(call.func)
    if not callable(call) or isinstance(call, type):
        return False
    return any(map(_is_marked, (call, inspect.unwrap(call), type(call).__call__)))


def _is_marked(call: Callable[..., object]) -> bool:
    if inspect.iscoroutinefunction(call):
        return True
    return _MARK is not None and getattr(call, "_is_coroutine", None) is _MARK


def count_parameters(name: str, call: Call) -> int:
    """Return how many of (event, connection, record) a call takes.

    Raises:
        ProjectionError: It takes none of them, or more.
    """
    parameters = inspect.signature(call).parameters.values()
    required = [parameter for parameter in parameters if _is_required(parameter)]
    by_name = [p.name for p in required if p.kind is p.KEYWORD_ONLY]
    if by_name:
        raise ProjectionError(
            f"The handler of {name} requires {', '.join(by_name)} by name, which nobody passes; "
            "give it a default."
        )
    takes_event = any(p.kind in {*_POSITIONAL, p.VAR_POSITIONAL} for p in parameters)
    if not takes_event or len(required) > MAX_HANDLER_PARAMETERS:
        raise ProjectionError(
            f"The handler of {name} takes {len(required)} parameters; "
            "it can take (event), (event, connection) or (event, connection, record)."
        )
    return max(len(required), 1)


def _is_required(parameter: inspect.Parameter) -> bool:
    names_one = parameter.kind in {*_POSITIONAL, parameter.KEYWORD_ONLY}
    return names_one and parameter.default is parameter.empty
