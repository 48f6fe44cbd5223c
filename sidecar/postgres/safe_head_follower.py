"""Follows the safe head in the database; `projections/safe_head.py` decides what to conclude."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sidecar.events.wait import wait_at_most
from sidecar.postgres.connection import (
    ANSWER_SECONDS,
    RawConnection,
    open_session,
    translate_loss,
)
from sidecar.postgres.query import sql
from sidecar.projections.safe_head import (
    Gap,
    Head,
    LogScan,
    Writer,
    add_writers,
    held_seconds,
    step,
)

SCAN_EVENTS: Final = 10_000
NOTIFY_CHANNEL: Final = "sidecar_events"


class SafeHeadFollower:
    """One follower per process; use it from one task at a time.

    Attributes:
        head: As of the last `advance`.
        writers: Who holds the head at a gap; empty while nothing does.
        skipped_positions: How many positions this follower stepped over.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.head = Head()
        self.writers: tuple[Writer, ...] = ()
        self.skipped_positions = 0
        self._clock = clock
        self._started = False

    @property
    def held_seconds(self) -> float:
        """For how long a gap has held the head; 0.0 when none does."""
        return held_seconds(self.head, self._clock())

    async def advance(self, connection: RawConnection) -> Head:
        """Move the head as far as it can be proved safe and return it."""
        if not self._started:
            self.head = Head(await connection.fetchval(sql("read_proved_position")))
            self._started = True
        while await self._advance_once(connection):
            pass
        return self.head

    async def _advance_once(self, connection: RawConnection) -> bool:
        """Take one step and tell whether another may lead further at once."""
        before = self.head
        held = before.hold is not None and before.hold.possible_writers is not None
        writers = await self._list_writers(connection) if held else ()
        remaining = frozenset(writer.id for writer in writers)
        scan, seen = await self._look(connection)
        head, dead = step(before, scan, remaining, self._clock())
        if dead:
            await self._record(connection, dead)
        if head.hold is not None and head.hold.possible_writers is None:
            writers = await self._list_writers(connection)
            head = add_writers(head, frozenset(writer.id for writer in writers))
        self.head = head
        possible_writers = head.hold.possible_writers if head.hold is not None else None
        self.writers = tuple(w for w in writers if possible_writers and w.id in possible_writers)
        noted = head.hold is not None and head.hold != before.hold
        more = seen == SCAN_EVENTS and head.position > before.position
        return noted or more

    async def _look(self, connection: RawConnection) -> tuple[LogScan, int]:
        row = await connection.fetchrow(sql("scan_log"), self.head.position, SCAN_EVENTS)
        if row is None:
            raise RuntimeError("an aggregate without GROUP BY returned no row")
        gaps = tuple(Gap(*ends) for ends in zip(row["firsts"], row["lasts"], strict=True))
        return LogScan(row["last"], gaps, row["highest"]), row["seen"]

    async def _record(self, connection: RawConnection, gaps: Sequence[Gap]) -> None:
        rows = [(gap.first, gap.last) for gap in gaps]
        await connection.executemany(sql("record_skip"), rows)
        self.skipped_positions += sum(last - first + 1 for first, last in rows)

    async def _list_writers(self, connection: RawConnection) -> tuple[Writer, ...]:
        return tuple(Writer(*row) for row in await connection.fetch(sql("list_writers")))


class ListeningHead:
    """A follower on a session of its own that wakes up when a writer tells of new events.

    Args:
        connection: Kept for this alone; whoever opened it closes it.
        follower: What to advance.
    """

    def __init__(self, connection: RawConnection, follower: SafeHeadFollower) -> None:
        self._connection = connection
        self._follower = follower
        self._told = asyncio.Event()

    async def listen(self) -> None:
        """Start to hear writers. Behind a transaction pooler nothing is heard, and polling does."""
        await self._connection.add_listener(NOTIFY_CHANNEL, self._hear)

    async def advance(self) -> int:
        """Return the safe head, moved as far as it can be proved.

        Raises:
            StoreUnavailableError: The session ended.
        """
        with translate_loss(self._connection, "The session that follows the safe head ended."):
            return (await self._follower.advance(self._connection)).position

    async def rest(self, limit_seconds: float) -> None:
        """Wait for a writer, at most as long as the limit."""
        await wait_at_most(self._told, limit_seconds)
        self._told.clear()

    def _hear(self, *_: object) -> None:
        self._told.set()


@asynccontextmanager
async def open_safe_head(
    dsn: str, *, application_name: str, answer_seconds: float = ANSWER_SECONDS
) -> AsyncIterator[ListeningHead]:
    """Open the session that a worker follows the safe head on.

    Raises:
        StoreUnavailableError: It cannot be opened, ended, or had no answer in time.
    """
    async with open_session(
        dsn, application_name=application_name, answer_seconds=answer_seconds
    ) as session:
        source = ListeningHead(session, SafeHeadFollower())
        await source.listen()
        yield source
