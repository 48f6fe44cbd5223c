"""The connection that a projection writes through: writes wait and travel together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from sidecar.postgres.connection import RawConnection


class DeferredConnection:
    """Defers writes until a read, a flush or the end of the batch, in the order they were made.

    Consecutive equal statements become one `executemany`, which is what makes a plain handler with
    one upsert per event fast. A failed statement therefore surfaces at the flush; the runner then
    rolls back and applies the batch again with `eager` set, so that the event at fault is found.

    Args:
        raw: An asyncpg connection inside a transaction that the caller ends.
        eager: Send each write at once.
    """

    __slots__ = ("_eager", "_query", "_raw", "_rows")

    def __init__(self, raw: RawConnection, *, eager: bool = False) -> None:
        self._raw = raw
        self._eager = eager
        self._query = ""
        self._rows: list[Sequence[object]] = []

    async def execute(self, query: str, *args: object) -> str | None:
        """Run a statement; None while it is deferred, PostgreSQL's status otherwise."""
        if self._eager:
            return await self._raw.execute(query, *args)
        if query != self._query:
            if self._rows:
                await self.flush()
            self._query = query
        self._rows.append(args)
        return None

    async def executemany(self, query: str, args: Sequence[Sequence[object]]) -> None:
        """Run a statement once per row of arguments."""
        if self._eager:
            await self._raw.executemany(query, args)
            return
        if query != self._query:
            if self._rows:
                await self.flush()
            self._query = query
        self._rows.extend(args)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return all rows; deferred writes go first."""
        await self.flush()
        return await self._raw.fetch(query, *args)

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        """Return the first row or None; deferred writes go first."""
        await self.flush()
        return await self._raw.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:  # noqa: ANN401 - a value of any type
        """Return the first value of the first row or None; deferred writes go first."""
        await self.flush()
        return await self._raw.fetchval(query, *args)

    async def flush(self) -> None:
        """Send what is deferred."""
        rows, query = self._rows, self._query
        if not rows:
            return
        self._rows, self._query = [], ""
        if len(rows) == 1:
            await self._raw.execute(query, *rows[0])
        else:
            await self._raw.executemany(query, rows)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Open a savepoint, so that a handler can catch an error of its own statement."""
        await self.flush()
        async with self._raw.transaction():
            yield
            await self.flush()

    async def raw(self) -> RawConnection:
        """Return asyncpg's connection for what this class lacks (COPY, cursors), after a flush."""
        await self.flush()
        return self._raw
