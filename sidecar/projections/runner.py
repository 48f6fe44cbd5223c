"""One loop per partition: take a page, have it applied, wait for the next, outlast outages."""

import asyncio
from typing import ClassVar, Final

from sidecar.errors import CheckpointGoneError, CheckpointMovedError, ProjectionPausedError
from sidecar.events.types import EventTypes
from sidecar.events.wait import wait_at_most
from sidecar.projections.applier import Applier
from sidecar.projections.cursor import Cursor
from sidecar.projections.dead_letter_retry import DeadLetterRetrier
from sidecar.projections.failure_handler import EnvironmentFailedError, FailureHandler
from sidecar.projections.failure_log import log_interruption
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.observer import RunnerObserver, RunnerTally, SilentObserver
from sidecar.projections.page_reader import Page, PageReader
from sidecar.projections.ports import ProjectionStore
from sidecar.projections.projection import Partition, Subscription
from sidecar.projections.retry import RetryPolicy
from sidecar.projections.route import Router
from sidecar.projections.standstill import Standstill

# An idle loop beats this often, and notices this soon that it is paused or resumed.
IDLE_SECONDS: Final = 1.0


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

    failure_handler_type: ClassVar[type[FailureHandler]] = FailureHandler

    def __init__(
        self,
        subscription: Subscription,
        partition: Partition,
        *,
        types: EventTypes,
        store: ProjectionStore,
        head: HeadSignal,
        observer: RunnerObserver | None = None,
        policy: RetryPolicy | None = None,
        tally: RunnerTally | None = None,
    ) -> None:
        self.partition: Final = partition
        self.tally: Final = tally or RunnerTally()
        self._subscription: Final = subscription
        self._store: ProjectionStore = store
        self._head: Final = head
        self._stopping: Final = asyncio.Event()
        self._cursor: Final = Cursor(subscription, partition, store=store, tally=self.tally)
        observer = observer or SilentObserver()
        self._failures: Final = self.failure_handler_type(
            subscription,
            partition,
            store=store,
            observer=observer,
            policy=policy or RetryPolicy(),
            tally=self.tally,
        )
        router = Router(subscription.subscriber, types)
        self._pages: Final = PageReader(store, partition, head, router)
        self._applier: Final = Applier(
            subscription,
            store=store,
            cursor=self._cursor,
            failures=self._failures,
            stopping=self._stopping,
        )
        self._retrials: Final = DeadLetterRetrier(
            subscription,
            partition,
            store=store,
            cursor=self._cursor,
            router=router,
            failures=self._failures,
        )

        self._standstill: Final = Standstill(
            subscription,
            store=store,
            cursor=self._cursor,
            router=router,
            redact=observer.redact,
            tally=self.tally,
        )

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
            self._cursor.forget()
            self.tally.beat()
            await self.rest(IDLE_SECONDS)
        except EnvironmentFailedError as failed:
            self._cursor.forget()
            self._standstill.begin(failed)
        except CheckpointGoneError:
            self.stop()
        except CheckpointMovedError:
            self._cursor.forget()
            self._standstill.drop()
            log_interruption(
                self.partition,
                "sidecar.checkpoint.moved",
                "another owner moved the checkpoint, a swap or a replay set it back, an event "
                "ahead was discarded, or the server lost its last commits",
            )
        except Exception as error:
            if not self._store.is_transient(error):
                raise
            self._cursor.forget()
            await self.rest(self._failures.interrupted(error))

    async def _advance(self) -> None:
        if not self._cursor.is_known:
            await self._pages.close()
            await self._cursor.load()
        if self._standstill.is_on:
            await self._stand_still()
            return
        await self._retry_letters()
        page = await self._pages.take(self._cursor.seen, self._cursor.discarded)
        self.tally.beat()
        if page is not None:
            await self._apply(page)
        else:
            await self._wait()

    async def _stand_still(self) -> None:
        """Wait, and look whether events can be applied again."""
        await self._standstill.tell()
        self.tally.beat()
        await self.rest(self._standstill.next_delay_seconds())
        if not self._stopping.is_set():
            await self._standstill.look_again()

    async def _apply(self, page: Page) -> None:
        """Apply a page batch by batch, in turn with parked streams."""
        if not page.deliveries:
            self._cursor.seen = page.upto
            if self._cursor.is_move_due:
                await self._applier.pass_over(page.upto)
            return
        for batch in page.batches(self._subscription.chunk_events):
            if self._stopping.is_set() or not await self._applier.apply(batch):
                return
            if batch.upto < page.upto:
                await self._retry_letters()

    async def _wait(self) -> None:
        """Do what is to be done at the safe head."""
        if self._cursor.is_ahead and self._cursor.is_move_due:
            await self._applier.pass_over(self._cursor.seen)
        elif not self._retrials.goes_on:
            self._failures.recovered()
            limit = min(IDLE_SECONDS, self._retrials.look_in_seconds)
            await self._head.wait_beyond(self._cursor.seen, limit)

    async def _retry_letters(self) -> None:
        """Take up one parked stream whose time has come, in turn with the healthy ones."""
        try:
            if await self._retrials.are_due():
                await self._retrials.take_up()
                self.tally.beat()
        except Exception as error:
            if not self._store.is_transient(error):
                raise
            self._retrials.interrupted(error)
