"""One loop per partition: read, apply, move the checkpoint, contain what fails."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import ClassVar, Final

from sidecar.errors import (
    CheckpointGoneError,
    CheckpointMovedError,
    ProjectionPausedError,
    RebuildStrayedError,
)
from sidecar.events.record import RecordedEvent
from sidecar.events.types import EventTypes
from sidecar.events.wait import wait_at_most
from sidecar.projections.application import (
    BATCH_SECONDS,
    EventFailedError,
    apply_one,
    apply_together,
    parked_streams,
)
from sidecar.projections.containment import Containment
from sidecar.projections.log import log_interruption, log_parked
from sidecar.projections.observer import RunnerObserver, RunnerTally, SilentObserver
from sidecar.projections.page import Page, PageReader
from sidecar.projections.projection import Partition, Subscription
from sidecar.projections.retrial import Retrials
from sidecar.projections.retry import Retry, RetryPolicy
from sidecar.projections.route import Delivery, Router, split
from sidecar.projections.signal import HeadSignal
from sidecar.projections.work import Desk, State, Work

# An idle loop beats this often, and notices this soon that it is paused or resumed.
IDLE_SECONDS: Final = 1.0
# A checkpoint that only passed over events nobody handles is stored this often.
UNHANDLED_MOVE_SECONDS: Final = 1.0
# A page in which something failed is applied in lots of this size, to find it.
SEARCH_EVENTS: Final = 200


@dataclass(slots=True)
class Walk:
    """What one transaction, taken event by event, came to."""

    upto: int
    events: int = 0
    parked: list[RecordedEvent] = field(default_factory=list)
    retry: Retry | None = None


class Runner:
    """Keeps one partition of one projection or handler at the safe head.

    Several runners may believe that they own a partition; the compare-and-set on the checkpoint
    lets one of them win each batch and rolls the others back.

    Args:
        subscription: What to run.
        partition: Which part of it.
        types: For decoding.
        desk: Where events are read and transactions opened.
        head: The safe head of this process.
        observer: Hears of batches and failures.
        policy: Bounds on trying again.
        tally: Where it counts; handed on from an earlier runner, so that counters never fall.
    """

    containment_type: ClassVar[type[Containment]] = Containment

    def __init__(
        self,
        subscription: Subscription,
        partition: Partition,
        *,
        types: EventTypes,
        desk: Desk,
        head: HeadSignal,
        observer: RunnerObserver | None = None,
        policy: RetryPolicy | None = None,
        tally: RunnerTally | None = None,
    ) -> None:
        self.partition: Final = partition
        self.tally: Final = tally or RunnerTally()
        self._subscription: Final = subscription
        self._desk: Desk = desk
        self._head: Final = head
        self._router: Final = Router(subscription.subscriber, types)
        self._pages: Final = PageReader(desk, partition, head, self._router)
        self._containment: Final = self.containment_type(
            subscription,
            partition,
            desk=desk,
            observer=observer or SilentObserver(),
            policy=policy or RetryPolicy(),
            tally=self.tally,
        )
        self._retrials: Final = Retrials(
            subscription,
            partition,
            desk=desk,
            router=self._router,
            containment=self._containment,
        )
        self._seen = 0  # everything up to here was looked at
        self._stored = -1  # the checkpoint in the database; -1 while it has to be read
        self._stored_mono = 0.0
        self._stopping: Final = asyncio.Event()

    def stop(self) -> None:
        """Ask `run` to return after the transaction under way."""
        self._stopping.set()
        self._head.wake()

    async def rest(self, seconds: float) -> None:
        """Wait, but not longer than until `stop`."""
        await wait_at_most(self._stopping, seconds)

    async def run(self) -> None:
        """Follow the log until `stop`; cancelling rolls the transaction under way back."""
        try:
            while not self._stopping.is_set():
                await self._turn()
        finally:
            await self._pages.close()

    async def _turn(self) -> None:
        """Apply one page or wait for one; what passes by itself is waited out here."""
        try:
            await self._advance()
        except ProjectionPausedError:
            self._stored = -1
            self._beat()
            await self.rest(IDLE_SECONDS)
        except CheckpointGoneError:
            self.stop()
        except CheckpointMovedError:
            self._stored = -1
            log_interruption(
                self.partition,
                "sidecar.checkpoint.moved",
                "another owner moved the checkpoint, or the server lost its last commits",
            )
        except Exception as error:
            if not self._desk.is_transient(error):
                raise
            self._stored = -1
            await self.rest(self._containment.interrupted(error))

    async def _advance(self) -> None:
        if self._stored < 0:
            await self._load()
        await self._retry_letters()
        page = await self._pages.take(self._seen)
        self._beat()
        if page is not None:
            await self._apply(page)
        else:
            await self._wait()

    async def _wait(self) -> None:
        """Do what is to be done at the safe head."""
        if self._seen > self._stored and self._is_move_due():
            await self._pass_over(self._seen)
        elif not self._retrials.goes_on:
            self._containment.recovered()
            await self._head.wait_beyond(self._seen, IDLE_SECONDS)

    async def _retry_letters(self) -> None:
        """Take up one parked stream whose time has come, in turn with the healthy ones."""
        try:
            if await self._retrials.are_due():
                await self._retrials.take_up(self._stored, self.tally)
                self._beat()
        except Exception as error:
            if not self._desk.is_transient(error):
                raise
            self._retrials.interrupted(error)

    async def _load(self) -> None:
        await self._pages.close()
        checkpoint = await self._desk.read_checkpoint(self.partition)
        if checkpoint.state is not State.RUNNING:
            raise ProjectionPausedError(f"{self.partition} is {checkpoint.state}.")
        self._seen = self._stored = self.tally.position = checkpoint.position

    async def _apply(self, page: Page) -> None:
        deliveries = page.deliveries
        if not deliveries:
            self._seen = page.upto
            if self._is_move_due():
                await self._pass_over(page.upto)
            return
        for chunk in split(deliveries, self._subscription.chunk_events):
            is_last = chunk[-1] is deliveries[-1]
            upto = page.upto if is_last else chunk[-1].record.position
            if self._stopping.is_set() or not await self._apply_chunk(chunk, upto):
                return
            if not is_last:
                await self._retry_letters()

    async def _apply_chunk(self, deliveries: Sequence[Delivery], upto: int) -> bool:
        """Apply deliveries up to a position and tell whether all of them are behind us."""
        before = self._containment.begin([delivery.record for delivery in deliveries])
        try:
            # Effects outside the transaction are not undone by a rollback: such a handler must not
            # see an event again only because a later one failed.
            if not self._subscription.is_repeatable:
                await self._apply_singly(deliveries, upto)
            elif self._containment.is_suspect(deliveries) or not await self._try_together(
                deliveries, upto
            ):
                await self._search(deliveries, upto)
        finally:
            self._containment.end(before)
        return self._seen >= upto

    async def _search(self, deliveries: Sequence[Delivery], upto: int) -> None:
        """Apply lot by lot, and event by event where something fails."""
        for lot in split(deliveries, SEARCH_EVENTS):
            end = upto if lot[-1] is deliveries[-1] else lot[-1].record.position
            if lot is deliveries or not await self._try_together(lot, end):
                await self._apply_singly(lot, end)
            if self._stopping.is_set() or self._seen < end:
                return

    async def _try_together(self, deliveries: Sequence[Delivery], upto: int) -> bool:
        """Apply all in one go and tell whether that went; what failed then has to be found."""
        if self._containment.is_suspect(deliveries) or any(d.error for d in deliveries):
            return False
        try:
            async with self._begin(eager=self._subscription.eager) as work:
                applied = await apply_together(work, self._subscription, deliveries, upto)
                await work.move(applied.upto)
        except (
            ProjectionPausedError,
            CheckpointGoneError,
            CheckpointMovedError,
            RebuildStrayedError,
        ):
            raise
        except Exception as error:
            if self._desk.is_transient(error):
                raise
            return False
        self._moved(applied.upto, applied.events)
        self._containment.succeeded()
        return True

    async def _apply_singly(self, deliveries: Sequence[Delivery], upto: int) -> None:
        """Apply event by event; park what fails for good, stop before what is to be retried."""
        async with self._begin(eager=True) as work:
            walk = await self._walk(work, deliveries, upto)
            if walk.upto > self._stored:
                await work.move(walk.upto)
        if walk.upto > self._stored:
            self._moved(walk.upto, walk.events)
        if walk.parked:
            log_parked(self.partition, walk.parked)
        if walk.retry is not None:
            await self.rest(walk.retry.after_seconds)

    async def _walk(self, work: Work, deliveries: Sequence[Delivery], upto: int) -> Walk:
        walk = Walk(upto)
        streams = set(await parked_streams(work, deliveries))
        ends_mono = time.monotonic() + BATCH_SECONDS
        for delivery in deliveries:
            record = delivery.record
            if record.stream in streams:
                continue
            try:
                await apply_one(work, self._subscription, delivery)
            except EventFailedError as failure:
                walk.retry = await self._containment.judge(work, failure)
                if walk.retry is not None:
                    walk.upto = record.position - 1
                    break
                streams.add(record.stream)
                walk.parked.append(record)
            else:
                walk.events += 1
                self._containment.succeeded()
            if time.monotonic() > ends_mono:
                walk.upto = record.position
                break
        return walk

    async def _pass_over(self, upto: int) -> None:
        """Store that everything up to a position is behind us, though nothing was to be handled."""
        async with self._begin(eager=True) as work:
            await work.move(upto)
        self._moved(upto, 0)

    def _begin(self, *, eager: bool) -> AbstractAsyncContextManager[Work]:
        repeatable = self._subscription.is_repeatable
        return self._desk.begin(self.partition, self._stored, eager=eager, repeatable=repeatable)

    def _is_move_due(self) -> bool:
        return time.monotonic() - self._stored_mono > UNHANDLED_MOVE_SECONDS

    def _moved(self, position: int, events: int) -> None:
        self._seen = self._stored = self.tally.position = position
        self._stored_mono = time.monotonic()
        self._containment.recovered()
        self.tally.applied += events
        self.tally.progress_at = time.time()

    def _beat(self) -> None:
        self.tally.heartbeat_at, self.tally.heartbeat_mono = time.time(), time.monotonic()
