"""One listener of any shape, made uniform: its name, what it accepts, and how it is called."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from sidecar.errors import ProjectionError
from sidecar.events.record import RecordedEvent

WITH_CONNECTION: Final = 2
MAX_HANDLER_PARAMETERS: Final = 3

_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


class Connection(Protocol):
    """What a projection writes its read model with, inside one transaction."""

    async def execute(self, query: str, *args: object) -> object:
        """Run a statement; it may be deferred until the next read or the end of the batch."""

    async def executemany(self, query: str, args: Sequence[Sequence[object]]) -> object:
        """Run a statement once per row of arguments; it may be deferred likewise."""

    async def fetch(self, query: str, *args: object) -> Sequence[Any]:
        """Return all rows, after every deferred write has reached the server."""

    async def fetchrow(self, query: str, *args: object) -> Any:  # noqa: ANN401 - a row of any shape
        """Return the first row or None."""

    async def fetchval(self, query: str, *args: object) -> Any:  # noqa: ANN401 - a value of any type
        """Return the first value of the first row or None."""


Call = Callable[..., Awaitable[object]]
Invoke = Callable[[object, RecordedEvent | None], Awaitable[object]]


class Subscriber:
    """A handler or a projection as the publisher and the runner see it.

    Accepted are plain objects with `can_handle(event)` and `async handle(event)`, and async
    functions. Either may take the connection of the read model's transaction as a second
    parameter and the `RecordedEvent` as a third. A parameter with a default is the handler's own
    and keeps its default.

    Attributes:
        name: Name in checkpoints, metrics and logs; unique among a publisher's subscribers.
        target: The object as it was added.
        handles: Event classes that it wants; None means that `can_handle` decides.
        parameters: How many of (event, connection, record) its handler takes.
    """

    __slots__ = ("accepts", "call", "handles", "name", "parameters", "target")

    def __init__(self, target: object, handles: tuple[type, ...] | None = None) -> None:
        call = getattr(target, "handle", target)
        if not (callable(call) and inspect.iscoroutinefunction(call)):
            raise ProjectionError(
                f"{target!r} is neither an async function nor an object with `async handle(event)`."
            )
        self.name: Final = name_of(target)
        self.target: Final = target
        self.call: Final[Call] = call
        self.parameters: Final = _count_parameters(self.name, call)
        self.handles: Final = _read_handles(self.name, handles or getattr(target, "handles", ()))
        self.accepts: Final = self._choose_test()

    @property
    def wants_connection(self) -> bool:
        """Whether the handler writes through a connection, and so exactly once in effect."""
        return self.parameters > 1

    def bind(self, connection: Connection) -> Invoke:
        """Return the handler as a function of (event, record), whatever it takes of the three."""
        call = self.call
        if self.parameters == 1:
            return lambda event, _record: call(event)
        if self.parameters == WITH_CONNECTION:
            return lambda event, _record: call(event, connection)
        return lambda event, record: call(event, connection, record)

    def _choose_test(self) -> Callable[[object], bool]:
        handles = self.handles
        if handles is not None:
            return lambda event: isinstance(event, handles)
        return _read_test(self.name, getattr(self.target, "can_handle", None))


def name_of(target: object) -> str:
    """Return a subscriber's own `name`, else that of its function or class."""
    own = getattr(target, "name", None)
    if isinstance(own, str) and own:
        return own
    return str(getattr(target, "__name__", None) or type(target).__name__)


def _read_handles(name: str, handles: object) -> tuple[type, ...] | None:
    classes = tuple(handles) if isinstance(handles, tuple | list | set | frozenset) else (handles,)
    if any(not isinstance(cls, type) for cls in classes):
        raise ProjectionError(f"{name}.handles is {handles!r}; it lists the event classes.")
    return classes or None


def _read_test(name: str, can_handle: object) -> Callable[[object], bool]:
    if can_handle is None:
        return lambda _event: True
    # The coroutine of an async one would be true for every event.
    if not callable(can_handle) or inspect.iscoroutinefunction(can_handle):
        raise ProjectionError(
            f"{name}.can_handle is no plain function; write it without `async`: "
            "`def can_handle(self, event)`, which returns True or False."
        )
    return can_handle


def _count_parameters(name: str, call: Call) -> int:
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
