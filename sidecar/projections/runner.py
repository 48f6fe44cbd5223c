"""One loop per partition: take a page, have it applied, wait for the next, outlast outages."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from sidecar.errors import CheckpointGoneError, CheckpointMovedError, ProjectionPausedError
from sidecar.projections.applier import Applier
from sidecar.projections.context import IDLE_SECONDS, PartitionContext
from sidecar.projections.cursor import Cursor
from sidecar.projections.environment_failure import EnvironmentFailedError
from sidecar.projections.failure_log import log_interruption
from sidecar.projections.live_copy import LiveCopy
from sidecar.projections.observer import RunnerTally
from sidecar.projections.page_reader import Page, PageReader
from sidecar.projections.projection import Partition
from sidecar.projections.rebuild_copy import RebuildCopy
from sidecar.projections.standstill import Standstill
from sidecar.projections.verify_copy import VerifyCopy

Copy: TypeAlias = LiveCopy | RebuildCopy | VerifyCopy

_STRATEGIES: Final[Mapping[str, type[LiveCopy | RebuildCopy]]] = {
    "live": LiveCopy,
    "rebuild": RebuildCopy,
}


class Runner:
    """Keeps one partition of one projection or handler at the safe head.

    Several runners may believe that they own a partition; the compare-and-set on the checkpoint
    lets one of them win each batch and rolls the others back.

    Args:
        context: Of the partition.
        make_copy: Makes the strategy; None for that of the partition's copy, live or rebuilt.
    """

    def __init__(
        self,
        context: PartitionContext,
        make_copy: Callable[[PartitionContext, Cursor], Copy] | None = None,
    ) -> None:
        self.partition: Final[Partition] = context.partition
        self.tally: Final[RunnerTally] = context.tally
        # Handed on from a loop before this one, whose errors were its own.
        self.tally.interruptions.clear()
        self._context: Final = context
        self._cursor: Final = Cursor(context)
        # The strategy: what to do with dead letters, failed events, halts, and at the safe head.
        make_copy = make_copy or _STRATEGIES[context.partition.copy]
        self._copy: Final = make_copy(context, self._cursor)
        self._pages: Final = PageReader(context)
        self._applier: Final = Applier(
            context, self._cursor, self._copy.failures, self._pages.read_ahead
        )
        self._standstill: Final = Standstill(context, self._cursor)

    def stop(self) -> None:
        """Ask `run` to return after the transaction under way."""
        self._context.stop()

    async def rest(self, seconds: float) -> None:
        """Wait, but not longer than until `stop`."""
        await self._context.rest(seconds)

    async def run(self) -> None:
        """Follow the log until `stop`; cancelling rolls the transaction under way back."""
        try:
            while not self._context.stopping.is_set():
                await self._turn()
        finally:
            await self._pages.close()

    async def _turn(self) -> None:
        """Apply one page or wait for one; transient errors are waited out here."""
        try:
            await self._advance()
        except CheckpointGoneError:
            self.stop()
        except ProjectionPausedError:
            self._cursor.forget()
            self.tally.beat()
            await self.rest(IDLE_SECONDS)
        except EnvironmentFailedError as failed:
            self._cursor.forget()
            await self._standstill.begin(failed)
        except CheckpointMovedError:
            self._cursor.forget()
            self._standstill.end()
            log_interruption(
                self.partition,
                "sidecar.checkpoint.moved",
                "another owner moved the checkpoint, a swap or a replay set it back, an event "
                "ahead was discarded, a type was declared or retired, a member joined, or the "
                "server lost its last commits",
            )
        except Exception as error:
            if self._context.store.is_transient(error):
                delay_seconds = self._copy.failures.interrupted(error)
            elif await self._copy.halts(error):
                delay_seconds = IDLE_SECONDS
            else:
                # It is started again, and may meet the same for long, as when its reads time out.
                self._copy.failures.interrupted(error)
                raise
            self._cursor.forget()
            await self.rest(delay_seconds)

    async def _advance(self) -> None:
        if not self._cursor.is_known:
            await self._pages.close()
            await self._cursor.load()
        if await self._standstill.holds():
            return
        await self._copy.before_page()
        page = await self._pages.take(self._cursor.seen, self._cursor.discarded)
        self.tally.beat()
        if page is None:
            await self._copy.caught_up()
        elif page.deliveries:
            await self._apply(page)
        else:
            await self._pass_over(page)

    async def _apply(self, page: Page) -> None:
        """Apply a page batch by batch, in turn with parked streams."""
        for batch in page.batches(self._context.subscription.chunk_events):
            if self._context.stopping.is_set() or not await self._applier.apply(batch):
                return
            if batch.upto < page.upto:
                await self._copy.before_page()

    async def _pass_over(self, page: Page) -> None:
        """Go on behind a page of which nothing is handled; that is stored now and then."""
        self._cursor.saw(page.upto)
        if self._cursor.is_move_due:
            await self._cursor.pass_over()
            self._copy.failures.recovered()
