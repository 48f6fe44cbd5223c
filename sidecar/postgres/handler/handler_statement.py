"""A prepared statement of a handler: used in the order of its writes."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from sidecar.postgres.handler.handler_cursor import HandlerCursors
from sidecar.postgres.handler.write_buffer import Row

if TYPE_CHECKING:
    from sidecar.postgres.handler.deferred import DeferredConnection

T = TypeVar("T")


class HandlerStatement:
    """Passes on to asyncpg what is asked of it, until its handler ends.

    Made by the connection's `prepare`.
    """

    __slots__ = ("_connection", "_prepared", "_turn")

    def __init__(
        self, connection: "DeferredConnection", prepared: "PreparedStatement[asyncpg.Record]"
    ) -> None:
        self._connection = connection
        self._prepared = prepared
        self._turn = connection.turn

    def cursor(
        self, *args: object, prefetch: int | None = None, timeout: float | None = None
    ) -> HandlerCursors:
        """Return a cursor for `async for`, or with `await` one to move by hand."""
        query = self._mine.get_query()
        open_one: Callable[[], Any] = lambda: self._prepared.cursor(*args, timeout=timeout)  # noqa: E731
        return HandlerCursors(self._connection, open_one, query, prefetch)

    async def fetch(self, *args: object, **options: Any) -> list[Any]:  # noqa: ANN401 - asyncpg's own
        """Run it and return all rows; writes go first."""
        return await self._run(lambda: self._prepared.fetch(*args, **options))

    async def fetchrow(self, *args: object, **options: Any) -> Any:  # noqa: ANN401 - asyncpg's own
        """Run it and return the first row or None; writes go first."""
        return await self._run(lambda: self._prepared.fetchrow(*args, **options))

    async def fetchval(self, *args: object, **options: Any) -> Any:  # noqa: ANN401 - asyncpg's own
        """Run it and return a value of the first row or None; writes go first."""
        return await self._run(lambda: self._prepared.fetchval(*args, **options))

    async def fetchmany(self, args: Iterable[Row], **options: Any) -> list[Any]:  # noqa: ANN401 - asyncpg's own
        """Run it once per row of arguments and return all rows; writes go first."""
        return await self._run(lambda: self._prepared.fetchmany(args, **options))

    async def executemany(self, args: Iterable[Row], **options: Any) -> None:  # noqa: ANN401 - asyncpg's own
        """Run it once per row of arguments; writes go first."""
        await self._run(lambda: self._prepared.executemany(args, **options))

    async def explain(self, *args: object, analyze: bool = False) -> Any:  # noqa: ANN401 - asyncpg's own
        """Return how the server would run it; writes go first."""
        return await self._run(lambda: self._prepared.explain(*args, analyze=analyze))

    def get_name(self) -> str:
        """Return its name at the server."""
        return self._mine.get_name()

    def get_query(self) -> str:
        """Return its text."""
        return self._mine.get_query()

    def get_statusmsg(self) -> str | None:
        """Return the status of its last run."""
        return self._mine.get_statusmsg()

    def get_parameters(self) -> Any:  # noqa: ANN401 - asyncpg's own
        """Return the types of its parameters."""
        return self._mine.get_parameters()

    def get_attributes(self) -> Any:  # noqa: ANN401 - asyncpg's own
        """Return the columns of its rows."""
        return self._mine.get_attributes()

    @property
    def _mine(self) -> "PreparedStatement[asyncpg.Record]":
        self._connection.require_same_turn(self._turn)
        return self._prepared

    async def _run(self, statement: Callable[[], Awaitable[T]]) -> T:
        query = self._mine.get_query()
        return await self._connection.run(statement, query)
