"""The connection that a projection writes through: writes wait and travel together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from sidecar.postgres.connection import RawConnection

# Enough to make a round trip cheap, few enough that PostgreSQL starts early in a page of 1000.
LOT_ROWS: Final = 500
# One name for all, for the innermost is meant. Not by asyncpg's own class, whose savepoint can no
# longer be rolled back to once its release has failed.
_SAVE: Final = "SAVEPOINT sidecar"
_RELEASE: Final = "RELEASE SAVEPOINT sidecar"
_ROLL_BACK: Final = f"ROLLBACK TO SAVEPOINT sidecar; {_RELEASE}"


class DeferredConnection:
    """Defers writes until a read, a flush or the end of the batch, in the order they were made.

    Consecutive equal statements become one `executemany`, and a full lot of them is sent ahead, so
    that PostgreSQL works on it while Python handles the next events: that is what makes a plain
    handler with one upsert per event fast. A failed statement therefore surfaces later than it was
    made; the runner then rolls back and applies the batch again with `eager` set, so that the event
    at fault is found.

    Args:
        raw: An asyncpg connection inside a transaction that the caller ends.
        eager: Send each write at once.
    """

    __slots__ = ("_eager", "_query", "_raw", "_rows", "_sending")

    def __init__(self, raw: RawConnection, *, eager: bool = False) -> None:
        self._raw = raw
        self._eager = eager
        self._query = ""
        self._rows: list[Sequence[object]] = []
        self._sending: asyncio.Task[None] | None = None

    async def execute(self, query: str, *args: object) -> str | None:
        """Run a statement; None while it is deferred, PostgreSQL's status otherwise."""
        if self._eager:
            return await self._raw.execute(query, *args)
        rows = self._rows
        if query != self._query or len(rows) >= LOT_ROWS:
            rows = await self._start_lot(query)
        rows.append(args)
        return None

    async def executemany(self, query: str, args: Sequence[Sequence[object]]) -> None:
        """Run a statement once per row of arguments."""
        if self._eager:
            await self._raw.executemany(query, args)
            return
        rows = self._rows
        if query != self._query or len(rows) >= LOT_ROWS:
            rows = await self._start_lot(query)
        rows.extend(args)

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
        """Send what is deferred and wait until PostgreSQL has taken all of it."""
        await self._settle()
        if self._rows:
            await self._send(*self._take_lot())

    async def abandon(self) -> None:
        """Drop what is deferred and leave the connection free for a rollback."""
        self._take_lot()
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()
            await asyncio.wait((sending,))
            if not sending.cancelled():
                # Seen here, or asyncio tells of an error that nobody looked at.
                sending.exception()

    async def _start_lot(self, query: str) -> list[Sequence[object]]:
        """Send the present lot ahead and return an empty one for `query`."""
        await self._settle()
        if self._rows:
            self._sending = asyncio.create_task(self._send(*self._take_lot()))
            # One turn of the loop, in which the lot is written to the socket.
            await asyncio.sleep(0)
        self._query = query
        return self._rows

    async def _settle(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            try:
                await sending
            except asyncio.CancelledError:
                self._sending = sending
                raise

    def _take_lot(self) -> tuple[str, list[Sequence[object]]]:
        lot = self._query, self._rows
        self._query, self._rows = "", []
        return lot

    async def _send(self, query: str, rows: Sequence[Sequence[object]]) -> None:
        if len(rows) == 1:
            await self._raw.execute(query, *rows[0])
        else:
            await self._raw.executemany(query, rows)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Open a savepoint, so that a handler can catch an error of its own statement."""
        await self.flush()
        await self._raw.execute(_SAVE)
        try:
            yield
            await self.flush()
        except BaseException:
            # What came before the block was sent; what is left belongs to what is rolled back.
            await self.abandon()
            await self._raw.execute(_ROLL_BACK)
            raise
        await self._release()

    async def _release(self) -> None:
        """End a savepoint; where a caught error left it aborted, roll back to it all the same."""
        try:
            await self._raw.execute(_RELEASE)
        except asyncpg.InFailedSQLTransactionError as error:
            await self._raw.execute(_ROLL_BACK)
            error.add_note(
                "An error of a statement was caught before this. Put the statement into "
                "`async with connection.transaction()`, and catch its error outside of that."
            )
            raise

    async def raw(self) -> RawConnection:
        """Return asyncpg's connection for what this class lacks (COPY, cursors), after a flush."""
        await self.flush()
        return self._raw
