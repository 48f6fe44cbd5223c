"""Reading pages of the log, one ahead of the page being applied."""

import asyncio
from dataclasses import dataclass
from typing import Final

from sidecar.events.record import RecordedEvent
from sidecar.projections.projection import Partition
from sidecar.projections.signal import HeadSignal
from sidecar.projections.work import Desk


@dataclass(frozen=True, slots=True)
class Page:
    """What lies in (after, upto] for one partition; `records` ascend by position."""

    after: int
    upto: int
    records: list[RecordedEvent]


class PageReader:
    """Reads one page ahead, so that PostgreSQL reads while Python applies. Close it."""

    def __init__(self, desk: Desk, partition: Partition, head: HeadSignal) -> None:
        self._desk: Final = desk
        self._partition: Final = partition
        self._head: Final = head
        self._ahead: asyncio.Task[Page] | None = None

    async def take(self, after: int) -> Page | None:
        """Return the next page above a position; None when the safe head is not above it."""
        if self._head.position <= after:
            await self.close()
            return None
        page = await self._take_ahead(after) or await self._read(after)
        if page.records and page.upto < self._head.position:
            self._ahead = asyncio.create_task(self._read(page.upto))
        return page

    async def close(self) -> None:
        """Give up what was being read ahead."""
        task, self._ahead = self._ahead, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            # Seen here, or asyncio tells of an error that nobody looked at.
            task.exception()

    async def _take_ahead(self, after: int) -> Page | None:
        task, self._ahead = self._ahead, None
        if task is None:
            return None
        try:
            page = await task
        except asyncio.CancelledError:
            task.cancel()
            raise
        return page if page.after == after else None

    async def _read(self, after: int) -> Page:
        upto = self._head.position
        records = await self._desk.read_page(self._partition, after, upto)
        return Page(after, records[-1].position if records else upto, records)
