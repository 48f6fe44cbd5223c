"""What a handler gets of the connection: for as long as it runs, and no longer."""

from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import asyncpg

from sidecar.errors import ConnectionEndedError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.deferred import DeferredConnection, Row
from sidecar.postgres.status import DeferredStatus

T = TypeVar("T")
Statement: TypeAlias = Coroutine[Any, Any, T]


class LentConnection:
    """Passes one handler's statements on until it is closed.

    A task that the handler left behind would write into another event's turn, or into nothing.
    """

    __slots__ = ("_shared",)

    def __init__(self, shared: DeferredConnection) -> None:
        self._shared = shared

    def close(self) -> None:
        """Refuse everything from here on."""
        self._shared = _ENDED

    def end(self) -> None:
        """Close it after the handler has returned.

        Raises:
            ConnectionMisuseError: It was used in a way that cannot work.
        """
        shared, self._shared = self._shared, _ENDED
        shared.end_turn()

    def execute(self, query: str, *args: object) -> Statement[str | DeferredStatus]:
        """Run a statement; while it is deferred, the status that comes back cannot be read."""
        return self._shared.execute(query, *args)

    def executemany(self, query: str, args: Iterable[Row]) -> Statement[None]:
        """Run a statement once per row of arguments."""
        return self._shared.executemany(query, args)

    def fetch(self, query: str, *args: object) -> Statement[list[asyncpg.Record]]:
        """Return all rows; deferred writes go first."""
        return self._shared.fetch(query, *args)

    def fetchrow(self, query: str, *args: object) -> Statement[asyncpg.Record | None]:
        """Return the first row or None; deferred writes go first."""
        return self._shared.fetchrow(query, *args)

    def fetchval(self, query: str, *args: object) -> Statement[Any]:
        """Return the first value of the first row or None; deferred writes go first."""
        return self._shared.fetchval(query, *args)

    def flush(self) -> Statement[None]:
        """Send what is deferred and wait until PostgreSQL has taken all of it."""
        return self._shared.flush()

    def raw(self) -> Statement[RawConnection]:
        """Return asyncpg's connection for what this class lacks (COPY, cursors), after a flush."""
        return self._shared.raw()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Open a savepoint, so that a handler can catch an error of its own statement."""
        await self._shared.open_block()
        # Asked for anew each time: a block that is left after its handler's end is nobody's.
        try:
            yield
            await self._shared.keep_block()
        except BaseException:
            await self._shared.undo_block()
            raise


class _EndedConnection(DeferredConnection):
    """Stands for a connection whose handler has ended."""

    __slots__ = ()

    def __init__(self) -> None:
        """Hold nothing."""


def _refuse(*_: object) -> NoReturn:
    raise ConnectionEndedError(
        "A statement came after its handler had ended, from a task that it left behind: the "
        "transaction is that of other events by now, or is over. Await such tasks in the handler."
    )


for _name in (
    "execute", "executemany", "fetch", "fetchrow", "fetchval", "flush", "raw",
    "open_block", "keep_block", "undo_block",
):  # fmt: skip
    setattr(_EndedConnection, _name, _refuse)

_ENDED: Final = _EndedConnection()
