"""Reading pages of the log, one ahead of the page being applied."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.events.record import RecordedEvent
from sidecar.projections.context import PartitionContext
from sidecar.projections.delivery import Batch, Delivery

# Decoding holds up everything else in the process, so it is done in portions of about 0.1 ms.
DECODE_EVENTS: Final = 100


@dataclass(frozen=True, slots=True)
class Page:
    """What lies in (after, upto] for one partition.

    Attributes:
        deliveries: What is to be handled, ascending by position.
        is_last: Whether the safe head, as it was then, is reached.
    """

    after: int
    upto: int
    deliveries: list[Delivery]
    is_last: bool

    def batches(self, size: int) -> Iterator[Batch]:
        """Cut it into batches of at most `size`."""
        return Batch(self.deliveries, self.upto).split(size)


class PageReader:
    """Reads and decodes one page ahead, while PostgreSQL works on the one before. Close it."""

    def __init__(self, context: PartitionContext) -> None:
        self._context: Final = context
        self._ahead: asyncio.Task[Page] | None = None
        self._may_read_ahead: Final = asyncio.Event()
        self._taken: Page | None = None

    async def take(self, after: int, discarded: Collection[int] = ()) -> Page | None:
        """Return the next page above a position; None when the safe head is not above it.

        Args:
            after: Everything up to here is known.
            discarded: Positions that are to be passed over; `close` before they change.
        """
        if self._context.head.position <= after:
            await self.close()
            return None
        page = await self._take_ahead(after) or await self._read(after, discarded)
        done, self._taken = self._taken, None if page.is_last else page
        if not page.is_last:
            self._may_read_ahead.clear()
            self._ahead = asyncio.create_task(self._read_ahead(page.upto, discarded, done))
        return page

    def read_ahead(self) -> None:
        """Begin with the page behind the one that was taken, whose transaction is open by now.

        Before that, PostgreSQL would be busy with it while everything waits for the transaction.
        """
        self._may_read_ahead.set()

    async def close(self) -> None:
        """Give up what was being read ahead."""
        task, self._ahead = self._ahead, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            # Retrieved, or asyncio logs an error that was never retrieved.
            task.exception()

    async def _take_ahead(self, after: int) -> Page | None:
        task, self._ahead = self._ahead, None
        if task is None:
            return None
        self.read_ahead()
        try:
            page = await task
        except asyncio.CancelledError:
            task.cancel()
            raise
        return page if page.after == after else None

    async def _read_ahead(self, after: int, discarded: Collection[int], done: Page | None) -> Page:
        await self._may_read_ahead.wait()
        # First the writes of the page taken are sent. While PostgreSQL works on them, there is time
        # to free the thousand events of the page before that, which would hold up a transaction.
        await asyncio.sleep(0)
        del done
        return await self._read(after, discarded)

    async def _read(self, after: int, discarded: Collection[int]) -> Page:
        # A head that starts anew is below what is known, for as long as it has not caught up.
        upto = max(after, self._context.head.position)
        wanted_types = self._context.router.wanted
        span = await self._context.store.read_page(
            self._context.partition, after, upto, wanted_types
        )
        wanted = span.records
        if discarded:
            wanted = [record for record in wanted if record.position not in discarded]
        return Page(after, span.upto, await self._decode(wanted), is_last=span.upto >= upto)

    async def _decode(self, records: Sequence[RecordedEvent]) -> list[Delivery]:
        deliveries = []
        for start in range(0, len(records), DECODE_EVENTS):
            deliveries += self._context.router.route(records[start : start + DECODE_EVENTS])
            # A turn of the loop, in which the page before is served.
            await asyncio.sleep(0)
        return deliveries
