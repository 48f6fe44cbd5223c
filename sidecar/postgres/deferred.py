"""The connection that the handlers of a batch write through, one after the other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

import asyncpg

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.deferred_status import DeferredStatus
from sidecar.postgres.handler_turns import HandlerTurns
from sidecar.postgres.parameter import CONSTANT, keep
from sidecar.postgres.write_buffer import BATCH_ROWS, Row

# A deferred constraint that an event violates would fail the commit, which is that of many events.
# The rollback leaves each constraint deferred or not, as it was before.
_CHECK_CONSTRAINTS: Final = (
    "SAVEPOINT sidecar_check; SET CONSTRAINTS ALL IMMEDIATE;"
    " ROLLBACK TO SAVEPOINT sidecar_check; RELEASE SAVEPOINT sidecar_check"
)

T = TypeVar("T")


class DeferredConnection(HandlerTurns):
    """Defers writes until a read, a flush or the end of the batch, in the order they were made.

    Attributes:
        is_shared: Whether a handler was given asyncpg's connection.

    Args:
        raw: An asyncpg connection inside a transaction that the caller ends.
        eager: Send each write at once.
    """

    __slots__ = ("_status", "is_shared")

    def __init__(self, raw: RawConnection, *, eager: bool = False) -> None:
        super().__init__(raw, eager=eager)
        self.is_shared = False
        self._status = DeferredStatus("", self._record_misuse)

    async def execute(self, query: str, *args: object) -> str | DeferredStatus:
        """Run a statement; while it is deferred, the status that comes back cannot be read."""
        if self._eager:
            with self._turnstile:
                self.is_touched = True
                return await self._raw.execute(query, *args)
        if self._turnstile.user is not None or not self._coroutine.cr_running:
            await self._detect_concurrency()
        for value in args:
            if type(value) not in CONSTANT:
                return await self._execute_copied(query, args)
        rows = self._rows
        if query != self._query or len(rows) >= BATCH_ROWS:
            rows = await self._start_batch(query)
        rows.append(args)
        return self._status

    async def executemany(self, query: str, args: Iterable[Row]) -> None:
        """Run a statement once per row of arguments."""
        if self._eager:
            with self._turnstile:
                self.is_touched = True
                await self._raw.executemany(query, args)
            return
        if self._turnstile.user is not None or not self._coroutine.cr_running:
            await self._detect_concurrency()
        given = list(args)
        try:
            kept = [keep(row) for row in given]
        except Exception:  # noqa: BLE001 - likewise
            await self._run(lambda: self._raw.executemany(query, given))
            return
        rows = self._rows
        if query != self._query or len(rows) >= BATCH_ROWS:
            rows = await self._start_batch(query)
        rows.extend(kept)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return all rows; deferred writes go first."""
        return await self._run(lambda: self._raw.fetch(query, *args))

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        """Return the first row or None; deferred writes go first."""
        return await self._run(lambda: self._raw.fetchrow(query, *args))

    async def fetchval(self, query: str, *args: object) -> Any:  # noqa: ANN401 - a value of any type
        """Return the first value of the first row or None; deferred writes go first."""
        return await self._run(lambda: self._raw.fetchval(query, *args))

    async def flush(self) -> None:
        """Send what is deferred and wait until PostgreSQL has taken all of it."""
        with self._turnstile:
            await self._flush()

    async def settle(self) -> None:
        """Send what is deferred, and have deferred constraints checked."""
        with self._turnstile:
            await self._flush()
            with _explained():
                await self._raw.execute(_CHECK_CONSTRAINTS)

    async def raw(self) -> RawConnection:
        """Return asyncpg's connection for what this class lacks (COPY, cursors), after a flush.

        The handler's later writes are sent at once, so that both keep one order.
        """
        await self.flush()
        self._eager = self.is_shared = True
        return self._raw

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Open a savepoint, so that a handler can catch an error of its own statement."""
        turn = self._turn
        await self.open_savepoint()
        try:
            yield
            self._require_turn(turn)
            await self.release_savepoint()
        except BaseException:
            # A block that is left after the end of its handler is not undone.
            self._require_turn(turn)
            await self.undo_savepoint()
            raise

    async def abandon(self) -> None:
        """Drop what is deferred and leave the connection free for a rollback.

        Raises:
            ConcurrentStatementsError: A task goes on using it, in spite of being cancelled.
        """
        await self._discard()
        await self._turnstile.clear()

    async def open_savepoint(self) -> None:
        """Set a savepoint."""
        with self._turnstile:
            await self._flush()
            await self._raw.execute(f"SAVEPOINT sidecar_{self._savepoints}")
            self._savepoints += 1

    async def release_savepoint(self) -> None:
        """Send what is deferred and release the last savepoint."""
        with self._turnstile:
            await self._flush()
            with _explained():
                await self._raw.execute(f"RELEASE SAVEPOINT sidecar_{self._savepoints - 1}")
            self._savepoints -= 1

    async def undo_savepoint(self) -> None:
        """Roll back to the last savepoint, before which all was sent."""
        await self.abandon()
        with self._turnstile:
            self.is_touched = True
            self._savepoints -= 1
            name = f"sidecar_{self._savepoints}"
            # Not by asyncpg's class, which cannot roll back to a savepoint once its release failed.
            await self._raw.execute(f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")

    async def _run(self, statement: Callable[[], Awaitable[T]]) -> T:
        """Run a statement at once, after what is deferred."""
        with self._turnstile:
            await self._flush()
            return await statement()

    async def _execute_copied(self, query: str, args: Row) -> str | DeferredStatus:
        """Defer a statement with a copy of its parameters; without one it runs at once."""
        # Not in `execute`, whose variables are faster to reach without a closure.
        try:
            row = keep(args)
        # A parameter's own code raised it.
        except Exception:  # noqa: BLE001
            return await self._run(lambda: self._raw.execute(query, *args))
        rows = self._rows
        if query != self._query or len(rows) >= BATCH_ROWS:
            rows = await self._start_batch(query)
        rows.append(row)
        return self._status

    async def _detect_concurrency(self) -> None:
        """Let a task beside this one use the connection as well, so that one of both is refused."""
        with self._turnstile:
            self.is_touched = True
            await asyncio.sleep(0)

    async def _flush(self) -> None:
        self.is_touched = True
        if self._misuse is not None:
            raise self._misuse
        await self._send_all()

    async def _start_batch(self, query: str) -> list[Row]:
        """Send the present batch ahead and return an empty one for `query`."""
        with self._turnstile:
            if self._rows or self._sending is not None:
                self.is_touched = True
                await self._send_ahead()
        self._query = query
        self._status = DeferredStatus(query, self._record_misuse)
        return self._rows


@contextmanager
def _explained() -> Iterator[None]:
    """Add to the error of a failed transaction how that came about."""
    try:
        yield
    except asyncpg.InFailedSQLTransactionError as error:
        error.add_note(
            "An error of a statement was caught before this. Put the statement into "
            "`async with connection.transaction()`, and catch its error outside of that."
        )
        raise
