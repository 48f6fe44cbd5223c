"""Follows the safe head in the database; `projections/safe_head.py` decides what to conclude."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sidecar.errors import StoreUnavailableError
from sidecar.events.wait import wait_at_most
from sidecar.postgres.connection import (
    ANSWER_SECONDS,
    RawConnection,
    open_session,
    translate_loss,
)
from sidecar.postgres.log_memory.log_keeper import LogKeeper
from sidecar.postgres.query import sql
from sidecar.postgres.schema import events_channel
from sidecar.projections.safe_head import (
    Gap,
    Head,
    LogScan,
    Writer,
    add_writers,
    step,
)

SCAN_EVENTS: Final = 10_000


class SafeHeadFollower:
    """One follower per process; use it from one task at a time.

    Attributes:
        head: As of the last `advance`.
        writers: The transactions that hold the head at a gap; empty while none does.
    """

    def __init__(self) -> None:
        self.head = Head()
        self.writers: tuple[Writer, ...] = ()
        self._started = False

    async def advance(self, connection: RawConnection) -> Head:
        """Move the head as far as it can be proved safe and return it."""
        if not self._started:
            self.head = Head(await connection.fetchval(sql("read_proved_position")))
            self._started = True
        while await self._advance_once(connection):
            pass
        return self.head

    async def _advance_once(self, connection: RawConnection) -> bool:
        """Take one step; return True when another one may lead further at once."""
        before = self.head
        # Before the scan, which then sees what those that are gone by now have committed.
        known = _possible_writers(before) is not None
        writers = await self._list_writers(connection) if known else ()
        scan, is_full = await self._scan(connection)
        head = await self._settle_gaps(connection, scan, writers)
        self.head, self.writers = await self._find_writers(connection, head, writers)
        is_held_anew = self.head.hold is not None and self.head.hold != before.hold
        return is_held_anew or (is_full and self.head.position > before.position)

    async def _scan(self, connection: RawConnection) -> tuple[LogScan, bool]:
        """Read the log above the head; True when there may be more than was read."""
        [row] = await connection.fetch(sql("scan_log"), self.head.position, SCAN_EVENTS)
        gaps = tuple(Gap(*ends) for ends in zip(row["firsts"], row["lasts"], strict=True))
        return LogScan(row["last"], gaps, row["highest"]), row["seen"] == SCAN_EVENTS

    async def _settle_gaps(
        self, connection: RawConnection, scan: LogScan, writers: Sequence[Writer]
    ) -> Head:
        """Return the head behind all gaps that are proved dead, and record those."""
        head, dead = step(self.head, scan, _ids(writers), time.monotonic())
        if dead:
            rows = [(gap.first, gap.last) for gap in dead]
            await connection.executemany(sql("record_skip"), rows)
        return head

    async def _find_writers(
        self, connection: RawConnection, head: Head, writers: Sequence[Writer]
    ) -> tuple[Head, tuple[Writer, ...]]:
        """Return the head with those who may fill its gap, who are asked for at a new gap only."""
        if head.hold is not None and head.hold.possible_writers is None:
            writers = await self._list_writers(connection)
            head = add_writers(head, _ids(writers))
        possible = _possible_writers(head) or frozenset()
        return head, tuple(writer for writer in writers if writer.id in possible)

    async def _list_writers(self, connection: RawConnection) -> tuple[Writer, ...]:
        return tuple(Writer(*row) for row in await connection.fetch(sql("list_writers")))


def _possible_writers(head: Head) -> frozenset[str] | None:
    return None if head.hold is None else head.hold.possible_writers


def _ids(writers: Iterable[Writer]) -> frozenset[str]:
    return frozenset(writer.id for writer in writers)


class ListeningHead:
    """A follower on a session of its own, woken by the notifications of writers."""

    def __init__(self, connection: RawConnection, log: LogKeeper | None = None) -> None:
        self._connection = connection
        self._log = log
        self._follower = SafeHeadFollower()
        self._notified = asyncio.Event()

    async def advance(self) -> int:
        """Return the safe head, moved as far as it can be proved.

        Raises:
            StoreUnavailableError: The session ended.
        """
        with translate_loss(self._connection, "The session that follows the safe head ended."):
            position = (await self._follower.advance(self._connection)).position
            if self._log is not None:
                await self._log.attend(self._connection, position)
            return position

    async def rest(self, limit_seconds: float) -> None:
        """Wait for a notification, at most as long as the limit."""
        await wait_at_most(self._notified, limit_seconds)
        self._notified.clear()

    def notify(self, *_: object) -> None:
        """End the rest, or the next one."""
        self._notified.set()


@asynccontextmanager
async def open_safe_head(
    dsn: str,
    *,
    application_name: str,
    answer_seconds: float = ANSWER_SECONDS,
    log: LogKeeper | None = None,
) -> AsyncIterator[ListeningHead]:
    """Open the session that a worker follows the safe head on.

    Args:
        dsn: Where the server is. It appears in no message.
        application_name: The name of the session at the server.
        answer_seconds: How long a statement may go without an answer.
        log: Compares the log before anything of it is followed, and remembers it; None for nothing.

    Raises:
        StoreUnavailableError: It cannot be opened, ended, had no answer in time, or is of another
            database than before.
    """
    async with open_session(
        dsn, application_name=application_name, answer_seconds=answer_seconds
    ) as session:
        if log is not None and (refusal := await log.compare(session)):
            raise StoreUnavailableError(refusal)
        head = ListeningHead(session, log)
        # Behind a transaction pooler nothing arrives, and polling is enough.
        await session.add_listener(events_channel(), head.notify)
        yield head
