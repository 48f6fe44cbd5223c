"""The connection that a projection writes through: writes wait and travel together."""

import asyncio
from asyncio import current_task
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Any, Final

import asyncpg

from sidecar.errors import (
    ConcurrentStatementsError,
    ConnectionEndedError,
    ConnectionMisuseError,
)
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.parameter import are_constant, keep
from sidecar.postgres.status import DeferredStatus
from sidecar.postgres.turnstile import Turnstile

# Enough to make a round trip cheap, few enough that PostgreSQL starts early in a page of 1000.
LOT_ROWS: Final = 500
# A deferred constraint that an event violates would fail the commit, which is that of many events.
# Rolled back to, so that what follows finds each constraint deferred or not as it was before.
_CHECK_CONSTRAINTS: Final = (
    "SAVEPOINT sidecar_check; SET CONSTRAINTS ALL IMMEDIATE;"
    " ROLLBACK TO SAVEPOINT sidecar_check; RELEASE SAVEPOINT sidecar_check"
)

Row = Sequence[object]

# A task inherits it from who starts it, so that those of an earlier handler are recognized.
_turn_of_task: Final = ContextVar("sidecar_turn", default=0)
_turns: Final = count(1)


class DeferredConnection:
    """Defers writes until a read, a flush or the end of the batch, in the order they were made.

    Consecutive equal statements become one `executemany`, and a full lot of them is sent ahead, so
    that PostgreSQL works on it while Python handles the next events: that is what makes a plain
    handler with one upsert per event fast. A failed statement therefore surfaces later than it was
    made; `is_blurred` tells that it may be another event's than the one being handled.

    It is made for one task, and the handlers that it calls one after the other: `begin_turn` comes
    before each, and `end_turn` or `drop_turn` after it. A task that a handler left behind would
    write into another event's turn, or into nothing, and is refused.

    Attributes:
        is_blurred: Whether a statement failed that an earlier turn had made.
        is_shared: Whether a handler was given asyncpg's connection.

    Args:
        raw: An asyncpg connection inside a transaction that the caller ends.
        eager: Send each write at once.
    """

    __slots__ = (
        "_blocks",
        "_eager",
        "_fault",
        "_foreign",
        "_is_eager",
        "_is_touched",
        "_loop",
        "_open_turn",
        "_outer_blocks",
        "_query",
        "_raw",
        "_rows",
        "_sending",
        "_status",
        "_task",
        "_turn",
        "_turnstile",
        "is_blurred",
        "is_shared",
    )

    def __init__(self, raw: RawConnection, *, eager: bool = False) -> None:
        self.is_blurred = False
        self.is_shared = False
        self._raw = raw
        self._eager = self._is_eager = eager
        self._query = ""
        self._status = DeferredStatus("", self._note_fault)
        self._rows: list[Row] = []
        # The lot under way, and whose turn made it.
        self._sending: tuple[asyncio.Task[None], int] | None = None
        self._loop = asyncio.get_running_loop()
        self._task = current_task(self._loop)
        self._turnstile = Turnstile(self._admit, self._note_fault)
        self._turn = self._open_turn = 0
        # Rows of the present lot that earlier turns made.
        self._foreign = 0
        self._is_touched = False
        self._blocks = self._outer_blocks = 0
        self._fault: ConnectionMisuseError | None = None

    def begin_turn(self) -> None:
        """Lend it to the next handler, and to the tasks that this starts."""
        self._turn = self._open_turn = turn = next(_turns)
        _turn_of_task.set(turn)
        self._foreign = len(self._rows)
        if self._is_touched:
            self._is_touched = False
            self._fault = None
            self._outer_blocks = self._blocks
            self._eager = self._is_eager

    def end_turn(self) -> None:
        """Take it back from a handler that has returned.

        Raises:
            ConnectionMisuseError: It used the connection in a way that cannot work, whether it
                caught the error of that or not, or left something of its own under way.
        """
        self._open_turn = 0
        if not self._is_touched:
            return
        if self._fault is not None:
            raise self._fault
        if self._turnstile.user is not None or self._blocks > self._outer_blocks:
            raise ConcurrentStatementsError(
                "The handler ended while a task of its own was still using the connection; await "
                "all of them before it returns."
            )

    def drop_turn(self) -> None:
        """Take it back from a handler that has failed."""
        self._open_turn = 0

    def close(self) -> None:
        """Refuse everything from here on: the transaction is over."""
        self._open_turn = 0
        self._task = None

    def take_back(self) -> bool:
        """Drop the writes of this turn; False when some are sent, so that only a rollback does."""
        if self._is_touched:
            return False
        del self._rows[self._foreign :]
        return True

    async def execute(self, query: str, *args: object) -> str | DeferredStatus:
        """Run a statement; while it is deferred, the status that comes back cannot be read."""
        if self._eager:
            with self._turnstile:
                self._is_touched = True
                return await self._raw.execute(query, *args)
        if self._turnstile.user is not None or current_task(self._loop) is not self._task:
            await self._meet()
        try:
            row = args if are_constant(map(type, args)) else keep(args)
        # A parameter's own code raised it.
        except Exception:  # noqa: BLE001
            return await self._execute_now(query, args)
        rows = self._rows
        if query != self._query or len(rows) >= LOT_ROWS:
            rows = await self._start_lot(query)
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
            await self._meet()
        given = list(args)
        try:
            kept = [keep(row) for row in given]
        except Exception:  # noqa: BLE001 - likewise
            with self._turnstile:
                await self._flush()
                await self._raw.executemany(query, given)
            return
        rows = self._rows
        if query != self._query or len(rows) >= LOT_ROWS:
            rows = await self._start_lot(query)
        rows.extend(kept)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return all rows; deferred writes go first."""
        with self._turnstile:
            await self._flush()
            return await self._raw.fetch(query, *args)

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        """Return the first row or None; deferred writes go first."""
        with self._turnstile:
            await self._flush()
            return await self._raw.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:  # noqa: ANN401 - a value of any type
        """Return the first value of the first row or None; deferred writes go first."""
        with self._turnstile:
            await self._flush()
            return await self._raw.fetchval(query, *args)

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

        What the handler writes from here on is sent at once, so that both keep one order.
        """
        await self.flush()
        self._eager = self.is_shared = True
        return self._raw

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Open a savepoint, so that a handler can catch an error of its own statement."""
        turn = self._open_turn
        await self.open_block()
        try:
            yield
            self._require_turn(turn)
            await self.keep_block()
        except BaseException:
            # A block that is left after its handler's end is nobody's.
            self._require_turn(turn)
            await self.undo_block()
            raise

    async def abandon(self) -> None:
        """Drop what is deferred and leave the connection free for a rollback.

        Raises:
            ConcurrentStatementsError: Somebody goes on using it, in spite of being cancelled.
        """
        self._take_lot()
        if self._sending is not None:
            (sending, _), self._sending = self._sending, None
            sending.cancel()
            await asyncio.wait((sending,))
            if not sending.cancelled():
                # Seen here, or asyncio tells of an error that nobody looked at.
                sending.exception()
        await self._turnstile.clear()

    async def open_block(self) -> None:
        """Set a savepoint."""
        with self._turnstile:
            await self._flush()
            await self._raw.execute(f"SAVEPOINT sidecar_{self._blocks}")
            self._blocks += 1

    async def keep_block(self) -> None:
        """Send what is deferred and release the last savepoint."""
        with self._turnstile:
            await self._flush()
            with _explained():
                await self._raw.execute(f"RELEASE SAVEPOINT sidecar_{self._blocks - 1}")
            self._blocks -= 1

    async def undo_block(self) -> None:
        """Roll back to the last savepoint. What came before it was sent."""
        await self.abandon()
        with self._turnstile:
            self._is_touched = True
            self._blocks -= 1
            name = f"sidecar_{self._blocks}"
            # Not by asyncpg's own class, whose savepoint can no longer be rolled back to once its
            # release has failed.
            await self._raw.execute(f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")

    async def _execute_now(self, query: str, args: Row) -> str:
        """Send a statement whose parameters cannot be kept."""
        with self._turnstile:
            await self._flush()
            return await self._raw.execute(query, *args)

    async def _meet(self) -> None:
        """Let a task that runs beside this one come to the connection, too, so that it is seen."""
        with self._turnstile:
            self._is_touched = True
            await asyncio.sleep(0)

    def _admit(self, task: asyncio.Task[Any] | None) -> None:
        """Refuse a task that neither made the connection nor belongs to the handler under way."""
        if task is None or task is not self._task:
            self._require_turn(_turn_of_task.get())

    def _require_turn(self, turn: int) -> None:
        if turn != self._open_turn or not turn:
            raise ConnectionEndedError(
                "A statement came after its handler had ended, from a task that it left behind: "
                "the transaction is that of other events by now, or is over. Await such tasks in "
                "the handler."
            )

    def _note_fault(self, error: ConnectionMisuseError) -> None:
        self._is_touched = True
        self._fault = error

    async def _flush(self) -> None:
        self._is_touched = True
        if self._fault is not None:
            raise self._fault
        await self._settle()
        if self._rows:
            turn = self._turn_of_lot()
            await self._await(self._send(*self._take_lot()), turn)

    async def _start_lot(self, query: str) -> list[Row]:
        """Send the present lot ahead and return an empty one for `query`."""
        with self._turnstile:
            if self._sending is not None:
                self._is_touched = True
                await self._settle()
            if self._rows:
                self._is_touched = True
                turn = self._turn_of_lot()
                self._sending = asyncio.create_task(self._send(*self._take_lot())), turn
                # One turn of the loop, in which the lot is written to the socket.
                await asyncio.sleep(0)
        self._query = query
        self._status = DeferredStatus(query, self._note_fault)
        return self._rows

    async def _settle(self) -> None:
        if self._sending is None:
            return
        (sending, turn), self._sending = self._sending, None
        try:
            await self._await(sending, turn)
        except asyncio.CancelledError:
            self._sending = sending, turn
            raise

    async def _await(self, sending: Awaitable[None], turn: int) -> None:
        try:
            await sending
        except Exception:
            self.is_blurred = self.is_blurred or turn != self._turn
            raise

    def _turn_of_lot(self) -> int:
        # Rows of several turns are nobody's own.
        return 0 if self._foreign else self._turn

    def _take_lot(self) -> tuple[str, list[Row]]:
        lot = self._query, self._rows
        self._query, self._rows, self._foreign = "", [], 0
        return lot

    async def _send(self, query: str, rows: Sequence[Row]) -> None:
        if len(rows) > 1 and rows[0]:
            await self._raw.executemany(query, rows)
            return
        # Without parameters a text may hold several statements.
        for row in rows:
            await self._raw.execute(query, *row)


@contextmanager
def _explained() -> Iterator[None]:
    """Say what led to a transaction in which nothing works any more."""
    try:
        yield
    except asyncpg.InFailedSQLTransactionError as error:
        error.add_note(
            "An error of a statement was caught before this. Put the statement into "
            "`async with connection.transaction()`, and catch its error outside of that."
        )
        raise
