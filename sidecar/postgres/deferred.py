"""The connection that the handlers of a batch write through, one after the other."""

import asyncio
from asyncio import current_task
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Any, Final, TypeVar

import asyncpg

from sidecar.errors import (
    ConcurrentStatementsError,
    ConnectionEndedError,
    ConnectionMisuseError,
)
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.deferred_status import DeferredStatus
from sidecar.postgres.parameter import are_constant, keep
from sidecar.postgres.turnstile import Turnstile
from sidecar.postgres.write_buffer import BATCH_ROWS, Row, WriteBuffer

# A deferred constraint that an event violates would fail the commit, which is that of many events.
# The rollback leaves each constraint deferred or not, as it was before.
_CHECK_CONSTRAINTS: Final = (
    "SAVEPOINT sidecar_check; SET CONSTRAINTS ALL IMMEDIATE;"
    " ROLLBACK TO SAVEPOINT sidecar_check; RELEASE SAVEPOINT sidecar_check"
)

T = TypeVar("T")

# A task inherits it from the one that starts it: those of an earlier handler are recognized by it.
_turn_of_task: Final = ContextVar("sidecar_turn", default=0)
_turns: Final = count(1)


class DeferredConnection(WriteBuffer):
    """Defers writes until a read, a flush or the end of the batch, in the order they were made.

    It is made for one task, and the handlers that it calls one after the other: `begin_turn` comes
    before each, and `end_turn` or `drop_turn` after it. A task that a handler left behind would
    write in the turn of another event, or after the end, and is refused.

    Attributes:
        is_shared: Whether a handler was given asyncpg's connection.

    Args:
        raw: An asyncpg connection inside a transaction that the caller ends.
        eager: Send each write at once.
    """

    __slots__ = (
        "_eager",
        "_is_eager",
        "_is_touched",
        "_loop",
        "_misuse",
        "_open_turn",
        "_outer_savepoints",
        "_savepoints",
        "_status",
        "_task",
        "_turnstile",
        "is_shared",
    )

    def __init__(self, raw: RawConnection, *, eager: bool = False) -> None:
        super().__init__(raw)
        self.is_shared = False
        self._eager = self._is_eager = eager
        self._status = DeferredStatus("", self._record_misuse)
        self._loop = asyncio.get_running_loop()
        self._task = current_task(self._loop)
        self._turnstile = Turnstile(self._admit, self._record_misuse)
        self._open_turn = 0
        # Whether this turn did more than add rows that can be dropped again.
        self._is_touched = False
        self._savepoints = self._outer_savepoints = 0
        self._misuse: ConnectionMisuseError | None = None

    def begin_turn(self) -> None:
        """Begin the turn of the next handler, and of the tasks that it starts."""
        self._turn = self._open_turn = turn = next(_turns)
        _turn_of_task.set(turn)
        self._earlier_rows = len(self._rows)
        if self._is_touched:
            self._is_touched = False
            self._misuse = None
            self._outer_savepoints = self._savepoints
            self._eager = self._is_eager

    def end_turn(self) -> None:
        """End the turn of a handler that has returned.

        Raises:
            ConnectionMisuseError: It used the connection in a way that cannot work, whether it
                caught the error of that or not, or left a statement or a savepoint open.
        """
        self._open_turn = 0
        if not self._is_touched:
            return
        if self._misuse is not None:
            raise self._misuse
        if self._turnstile.user is not None or self._savepoints > self._outer_savepoints:
            raise ConcurrentStatementsError(
                "The handler ended while a task of its own was still using the connection; await "
                "all of them before it returns."
            )

    def drop_turn(self) -> None:
        """End the turn of a handler that has failed."""
        self._open_turn = 0

    def close(self) -> None:
        """Refuse everything from now on: the transaction is over."""
        self._open_turn = 0
        self._task = None

    def take_back(self) -> bool:
        """Drop the writes of this turn; False when only a rollback can, since some were sent."""
        if self._is_touched:
            return False
        del self._rows[self._earlier_rows :]
        return True

    async def execute(self, query: str, *args: object) -> str | DeferredStatus:
        """Run a statement; while it is deferred, the status that comes back cannot be read."""
        if self._eager:
            with self._turnstile:
                self._is_touched = True
                return await self._raw.execute(query, *args)
        if self._turnstile.user is not None or current_task(self._loop) is not self._task:
            await self._detect_concurrency()
        try:
            row = args if are_constant(map(type, args)) else keep(args)
        # A parameter's own code raised it.
        except Exception:  # noqa: BLE001
            return await self._execute_now(query, args)
        rows = self._rows
        if query != self._query or len(rows) >= BATCH_ROWS:
            rows = await self._start_batch(query)
        rows.append(row)
        return self._status

    async def executemany(self, query: str, args: Iterable[Row]) -> None:
        """Run a statement once per row of arguments."""
        if self._eager:
            with self._turnstile:
                self._is_touched = True
                await self._raw.executemany(query, args)
            return
        if self._turnstile.user is not None or current_task(self._loop) is not self._task:
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
        turn = self._open_turn
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
            self._is_touched = True
            self._savepoints -= 1
            name = f"sidecar_{self._savepoints}"
            # Not by asyncpg's class, which cannot roll back to a savepoint once its release failed.
            await self._raw.execute(f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")

    async def _run(self, statement: Callable[[], Awaitable[T]]) -> T:
        """Run a statement at once, after what is deferred."""
        with self._turnstile:
            await self._flush()
            return await statement()

    async def _execute_now(self, query: str, args: Row) -> str:
        # Not a closure in `execute`, whose variables are faster to reach without one.
        return await self._run(lambda: self._raw.execute(query, *args))

    async def _detect_concurrency(self) -> None:
        """Let a task beside this one use the connection as well, so that one of both is refused."""
        with self._turnstile:
            self._is_touched = True
            await asyncio.sleep(0)

    def _admit(self, task: asyncio.Task[Any] | None) -> None:
        """Refuse a task that neither made the connection nor belongs to the current handler."""
        if task is None or task is not self._task:
            self._require_turn(_turn_of_task.get())

    def _require_turn(self, turn: int) -> None:
        if turn != self._open_turn or not turn:
            raise ConnectionEndedError(
                "A statement came from a task that does not belong to the current handler: an "
                "earlier handler left it behind, or no handler started it. The transaction is that "
                "of other events by now, or is over. Write from the handler, or from tasks that it "
                "starts and awaits."
            )

    def _record_misuse(self, error: ConnectionMisuseError) -> None:
        self._is_touched = True
        self._misuse = error

    async def _flush(self) -> None:
        self._is_touched = True
        if self._misuse is not None:
            raise self._misuse
        await self._send_all()

    async def _start_batch(self, query: str) -> list[Row]:
        """Send the present batch ahead and return an empty one for `query`."""
        with self._turnstile:
            if self._rows or self._sending is not None:
                self._is_touched = True
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
