"""Statements of the product on connections whose owner has set codecs: they pass these by."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard

import asyncpg
from typing_extensions import override

from sidecar.postgres.kept_codecs import KeptCodecsConnection
from sidecar.postgres.query import is_own

if TYPE_CHECKING:
    OwnClass: TypeAlias = type[asyncpg.Connection[asyncpg.Record]]

# asyncpg has it for its own statements and offers it to nobody. Where a release lacks it, these
# statements meet the codecs, and stand those of json, uuid and timestamptz.
_OPTION: Final = "ignore_custom_codec"


def _find(name: str) -> Callable[..., Coroutine[Any, Any, Any]] | None:
    method = getattr(asyncpg.Connection, name, None)
    has_option = method is not None and _OPTION in inspect.signature(method).parameters
    return method if has_option else None


_CAN_IGNORE: Final = _find("_do_execute") is not None
_execute: Final = _find("_execute")


class CodecAwareConnection(KeptCodecsConnection):
    """A connection whose codecs are for the statements of its owner alone.

    Attributes:
        has_own_codecs: Whether any was set, for whichever type.
    """

    has_own_codecs = False
    _ignores_codecs = False

    @contextmanager
    def without_codecs(self) -> Iterator[None]:
        """Pass by the codecs with every statement of a block, which is the product's."""
        self._ignores_codecs = True
        try:
            yield
        finally:
            self._ignores_codecs = False

    @override
    async def set_type_codec(self, *args: Any, **options: Any) -> None:
        self.has_own_codecs = True
        await super().set_type_codec(*args, **options)

    @override
    async def set_builtin_type_codec(self, *args: Any, **options: Any) -> None:
        self.has_own_codecs = True
        await super().set_builtin_type_codec(*args, **options)

    def _do_execute(
        self,
        query: str,
        *args: Any,  # noqa: ANN401 - asyncpg's own
        **options: Any,  # noqa: ANN401 - likewise
    ) -> Coroutine[Any, Any, Any]:
        if self.has_own_codecs and (self._ignores_codecs or is_own(query)) and _CAN_IGNORE:
            options[_OPTION] = True
        done: Coroutine[Any, Any, Any] = super()._do_execute(query, *args, **options)  # type: ignore[misc]
        return done


def aware_of_codecs(own: "OwnClass | None") -> "OwnClass":
    """Return a class of connections that is the service's own as well, where it has one."""
    if own is None or issubclass(CodecAwareConnection, own):
        return CodecAwareConnection
    if issubclass(own, CodecAwareConnection):
        return own
    return type(own.__name__, (own, CodecAwareConnection), {})


def without_codecs(connection: object) -> AbstractContextManager[None]:
    """Pass by a connection's codecs for a block, where that is possible."""
    raw = getattr(connection, "_con", connection)
    return raw.without_codecs() if _is_aware(raw) else nullcontext()


def _is_aware(raw: object) -> TypeGuard[CodecAwareConnection]:
    # Of asyncpg's classes, `isinstance` takes each connection for an instance of any.
    return CodecAwareConnection in type(raw).__mro__


def fetch_own(
    connection: Any,  # noqa: ANN401 - of asyncpg in whatever class, or what stands for one
    query: str,
    *args: object,
) -> Awaitable[Sequence[asyncpg.Record]]:
    """Run a statement of the product on a connection that a service gave."""
    # Not a coroutine, which would cost each append one more frame.
    raw = getattr(connection, "_con", connection)
    is_foreign = not _is_aware(raw) and isinstance(raw, asyncpg.Connection)
    done: Awaitable[Sequence[asyncpg.Record]] = (
        _execute(raw, query, args, 0, None, ignore_custom_codec=True)
        if is_foreign and _execute is not None
        else connection.fetch(query, *args)
    )
    return done
