"""The connection that the handlers of a batch write through, one after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Any, Final, TypeVar

import asyncpg

from sidecar.postgres.connection import RawConnection, explain_failed_transaction
from sidecar.postgres.handler.deferred_status import DeferredStatus
from sidecar.postgres.handler.handler_session import HandlerSession
from sidecar.postgres.handler.handler_turns import HandlerTurns
from sidecar.postgres.handler.parameter import CONSTANT, keep
from sidecar.postgres.handler.write_buffer import BATCH_ROWS, Row
from sidecar.postgres.statement_effect import NO_EFFECT, Trace, effect_of

# A deferred constraint that an event violates would fail the commit, which is that of many events.
# The rollback leaves each constraint deferred or not, as it was before.
_CHECK_CONSTRAINTS: Final = (
    "SAVEPOINT sidecar_check; SET CONSTRAINTS ALL IMMEDIATE;"
    " ROLLBACK TO SAVEPOINT sidecar_check; RELEASE SAVEPOINT sidecar_check"
)

T = TypeVar("T")


class DeferredConnection(HandlerTurns):
    """Defers writes until a read, a flush or the end of the batch, in the order they were made.

    Args:
        raw: An asyncpg connection inside a transaction that the caller ends.
        eager: Send each write at once.
        owner: The projection, for the log.
    """

    __slots__ = ("_at_once", "_has_own_block", "_session", "_status")

    def __init__(
        self, raw: RawConnection, *, eager: bool = False, owner: str = "a projection"
    ) -> None:
        super().__init__(raw, eager=eager, owner=owner)
        self._at_once: Container[str] = ()
        self._has_own_block = False
        self._session = HandlerSession(raw)
        self._status = DeferredStatus("", self._record_misuse)

    @property
    def last_query(self) -> str:
        """The statement that was deferred last; empty for none."""
        return self._status.query

    def send_at_once(self, queries: Container[str]) -> None:
        """Defer these statements no more: they were found to be unable to wait for others."""
        self._at_once = queries

    async def execute(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> str | DeferredStatus:
        """Run a statement; while it is deferred, the status that comes back cannot be read.

        With a timeout, in seconds, it is sent at once.
        """
        if self._eager or timeout is not None:
            return await self._execute_now(query, args, timeout)
        if self._turnstile.user is not None or not self._coroutine.cr_running:
            await self._detect_concurrency()
        for value in args:
            if type(value) not in CONSTANT:
                return await self._execute_copied(query, args)
        rows = self._rows
        if query != self._query or len(rows) >= BATCH_ROWS:
            if self._cannot_wait(query):
                return await self._execute_now(query, args)
            rows = await self._start_batch(query)
        rows.append(args)
        return self._status

    async def executemany(
        self,
        command: str,
        args: Iterable[Row],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> None:
        """Run a statement once per row of arguments."""
        given = args if self._eager or timeout is not None else list(args)
        if given is args or self._cannot_wait(command):
            await self._executemany_now(command, given, timeout)
            return
        if self._turnstile.user is not None or not self._coroutine.cr_running:
            await self._detect_concurrency()
        try:
            kept = [keep(row) for row in given]
        except Exception:  # noqa: BLE001 - likewise
            await self._executemany_now(command, given)
            return
        rows = self._rows
        if command != self._query or len(rows) >= BATCH_ROWS:
            rows = await self._start_batch(command)
        rows.extend(kept)

    async def fetch(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
        record_class: type[asyncpg.Record] | None = None,
    ) -> list[asyncpg.Record]:
        """Return all rows; deferred writes go first."""
        options: Any = {"timeout": timeout, "record_class": record_class}
        return await self.run(lambda: self._raw.fetch(query, *args, **options), query, args)

    async def fetchrow(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
        record_class: type[asyncpg.Record] | None = None,
    ) -> asyncpg.Record | None:
        """Return the first row or None; deferred writes go first."""
        options: Any = {"timeout": timeout, "record_class": record_class}
        return await self.run(lambda: self._raw.fetchrow(query, *args, **options), query, args)

    async def fetchval(
        self,
        query: str,
        *args: object,
        column: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> Any:  # noqa: ANN401 - a value of any type
        """Return a value of the first row or None; deferred writes go first."""
        return await self.run(
            lambda: self._raw.fetchval(query, *args, column=column, timeout=timeout), query, args
        )

    async def flush(self) -> None:
        """Send what is deferred and wait until PostgreSQL has taken all of it."""
        with self._turnstile:
            await self._flush()

    async def settle(self) -> None:
        """Send what is deferred, and have deferred constraints checked."""
        with self._turnstile:
            await self._flush()
            with explain_failed_transaction():
                await self._raw.execute(_CHECK_CONSTRAINTS)

    async def check_turn(self) -> None:
        """Look at the turn of a handler that has returned, and undo what it left in the session.

        Raises:
            ConnectionMisuseError: It used the connection in a way that cannot work.
            Exception: What it left cannot be undone, or a deferred write failed.
        """
        self._require_order()
        if self._has_own_block:
            self._has_own_block = False
            await self.release_savepoint()
        if self._session.is_changed:
            with self._turnstile:
                await self._flush()
                await self._session.undo()

    async def abandon(self) -> None:
        """Drop what is deferred and leave the connection free for a rollback.

        Raises:
            ConcurrentStatementsError: A task goes on using it, in spite of being cancelled.
        """
        await self._discard()
        await self._turnstile.clear()

    async def open_savepoint(self) -> int:
        """Set a savepoint; return its depth, 1 for the outermost."""
        with self._turnstile:
            await self._flush()
            await self._set_savepoint()
            return self._savepoints

    async def release_savepoint(self) -> None:
        """Send what is deferred and release the last savepoint."""
        with self._turnstile:
            await self._flush()
            with explain_failed_transaction():
                await self._raw.execute(f"RELEASE SAVEPOINT sidecar_{self._savepoints - 1}")
            self._savepoints -= 1
        self._failed_inside = min(self._failed_inside, self._savepoints)

    def is_innermost(self, depth: int) -> bool:
        """Return True when no savepoint was set later than that of a depth."""
        return self._savepoints == depth

    async def undo_savepoint(self, depth: int) -> None:
        """Roll back to the savepoint of a depth, before which all was sent."""
        await self.abandon()
        with self._turnstile:
            self.is_touched = True
            self._savepoints = depth - 1
            name = f"sidecar_{self._savepoints}"
            # Not by asyncpg's class, which cannot roll back to a savepoint once its release failed.
            await self._raw.execute(f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")
        if self._failed_inside >= depth:
            self.failure = None

    @property
    def has_emptied(self) -> bool:
        """Whether a handler has emptied a table in this transaction."""
        return self._session.has_emptied

    async def undo_event(self, depth: int) -> None:
        """Roll back to the savepoint before an event, and undo what no rollback undoes."""
        await self.undo_savepoint(depth)
        self._session.forget()
        if self._session.is_changed:
            with self._turnstile:
                await self._session.undo()

    async def run(
        self, statement: Callable[[], Awaitable[T]], query: str = "", args: Row = ()
    ) -> T:
        """Run a statement at once, after what is deferred."""
        traces = effect_of(query).traces
        with self._turnstile:
            await self._flush()
            if traces:
                await self._expect(traces, (query, *args))
            return await statement()

    async def _execute_now(self, query: str, args: Row, timeout: float | None = None) -> str:  # noqa: ASYNC109 - asyncpg's own
        return await self.run(lambda: self._raw.execute(query, *args, timeout=timeout), query, args)

    async def _executemany_now(
        self,
        query: str,
        args: Iterable[Row],
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
    ) -> None:
        await self.run(lambda: self._raw.executemany(query, args, timeout=timeout), query)

    async def _execute_copied(self, query: str, args: Row) -> str | DeferredStatus:
        """Defer a statement with a copy of its parameters; without one it runs at once."""
        # Not in `execute`, whose variables are faster to reach without a closure.
        try:
            row = keep(args)
        # A parameter's own code raised it.
        except Exception:  # noqa: BLE001
            return await self._execute_now(query, args)
        rows = self._rows
        if query != self._query or len(rows) >= BATCH_ROWS:
            if self._cannot_wait(query):
                return await self._execute_now(query, args)
            rows = await self._start_batch(query)
        rows.append(row)
        return self._status

    def _cannot_wait(self, query: str) -> bool:
        """Return True for a statement that acts on more than rows, or was found to need this."""
        return query in self._at_once or effect_of(query) is not NO_EFFECT

    async def _expect(self, traces: Iterable[Trace], texts: Iterable[object]) -> None:
        """Make sure that what a statement leaves behind can be undone."""
        await self._session.expect(traces, texts)
        if Trace.SAVEPOINT in self._session.traces:
            self._session.traces.discard(Trace.SAVEPOINT)
            # The handler's own ones are to end with its turn.
            if self._savepoints == 0:
                await self._set_savepoint()
                self._outer_savepoints += 1
                self._has_own_block = True

    async def _set_savepoint(self) -> None:
        await self._raw.execute(f"SAVEPOINT sidecar_{self._savepoints}")
        self._savepoints += 1

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
