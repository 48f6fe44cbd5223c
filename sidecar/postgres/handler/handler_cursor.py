"""A cursor of a handler: it reads on in the order of its writes."""

from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from sidecar.postgres.handler.deferred import DeferredConnection

# As many as asyncpg reads ahead.
PREFETCH_ROWS = 50


class HandlerCursors:
    """Opens a cursor: `async for` reads all rows, `await` gives one to move by hand.

    Made by the connection's `cursor`, or by that of a prepared statement.
    """

    __slots__ = ("_connection", "_open", "_prefetch", "_query")

    def __init__(
        self,
        connection: "DeferredConnection",
        open_one: Callable[[], Any],
        query: str,
        prefetch: int | None,
    ) -> None:
        self._connection = connection
        self._open = open_one
        self._query = query
        self._prefetch = prefetch

    def __aiter__(self) -> AsyncIterator[asyncpg.Record]:
        return self._read_all()

    def __await__(self) -> Generator[Any, Any, "HandlerCursor"]:
        return self._begin().__await__()

    async def _begin(self) -> "HandlerCursor":
        async def begin() -> Any:  # noqa: ANN401 - asyncpg's cursor
            return await self._open()

        return HandlerCursor(self._connection, await self._connection.run(begin, self._query))

    async def _read_all(self) -> AsyncIterator[asyncpg.Record]:
        limit = PREFETCH_ROWS if self._prefetch is None else self._prefetch
        cursor = await self._begin()
        while rows := await cursor.fetch(limit):
            for row in rows:
                yield row


class HandlerCursor:
    """Reads the rows of a query part by part, until its handler ends."""

    __slots__ = ("_connection", "_cursor", "_turn")

    def __init__(self, connection: "DeferredConnection", cursor: Any) -> None:  # noqa: ANN401
        self._connection = connection
        self._cursor = cursor
        self._turn = connection.turn

    async def fetch(self, n: int, *, timeout: float | None = None) -> list[asyncpg.Record]:  # noqa: ASYNC109 - asyncpg's own
        """Return the next rows, at most `n`; none at the end."""
        return await self._run(lambda: self._cursor.fetch(n, timeout=timeout))  # type: ignore[no-any-return]

    async def fetchrow(self, *, timeout: float | None = None) -> asyncpg.Record | None:  # noqa: ASYNC109 - asyncpg's own
        """Return the next row, None at the end."""
        return await self._run(lambda: self._cursor.fetchrow(timeout=timeout))  # type: ignore[no-any-return]

    async def forward(self, n: int, *, timeout: float | None = None) -> int:  # noqa: ASYNC109 - asyncpg's own
        """Skip the next rows, at most `n`; return how many."""
        return await self._run(lambda: self._cursor.forward(n, timeout=timeout))  # type: ignore[no-any-return]

    async def _run(self, statement: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it returns
        self._connection.require_same_turn(self._turn)
        return await self._connection.run(statement)
