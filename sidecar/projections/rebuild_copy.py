"""Filling a new copy of a read model, looking at what it changes, and asking for the swap."""

import logging
import time
from typing import Final

from sidecar.errors import ApprovalNeededError, ProjectionError, RebuildStrayedError
from sidecar.projections.context import PartitionContext
from sidecar.projections.cursor import Cursor
from sidecar.projections.failure_handler import FailureHandler, RebuildHaltedError
from sidecar.projections.retry import GaplessPolicy
from sidecar.projections.swap_preview import LOOK_SECONDS, SwapPreview

SWAP_RETRY_SECONDS: Final = 0.2

logger = logging.getLogger(__name__)


class RebuildCopy:
    """Stops at what fails, for a new copy must have no holes, and swaps at the safe head."""

    def __init__(self, context: PartitionContext, cursor: Cursor) -> None:
        self.failures: Final = FailureHandler(context, GaplessPolicy(context.policy))
        self._context: Final = context
        self._cursor: Final = cursor
        self._preview: Final = SwapPreview(context, cursor)
        self._swap_due_mono = 0.0

    async def before_page(self) -> None:
        """Leave them to the live copy."""

    async def caught_up(self) -> None:
        """Look at what the swap changes, and ask for it; after it this loop ends.

        While nobody knows where the log ends, a copy that has begun lacks what it has not read.
        """
        if not self._context.head.is_known:
            await self._context.head.wait_beyond(self._cursor.seen, SWAP_RETRY_SECONDS)
            return
        if self._cursor.is_ahead:
            await self._cursor.pass_over()
            self.failures.recovered()
        if self._context.partition.index == 0:
            await self._preview.look()
        else:
            await self._hold()
        if not await self._try_swap():
            await self._context.head.wait_beyond(self._cursor.seen, SWAP_RETRY_SECONDS)
            return
        projection = self._context.partition.projection
        discarded = await self._context.store.count_discarded(projection)
        logger.info(
            "The rebuilt copy of projection %s took over; %d discarded event(s) passed over",
            projection,
            discarded,
            extra={
                "event": "sidecar.rebuild.swapped",
                "projection": projection,
                "discarded": discarded,
            },
        )
        self._context.stop()

    async def _hold(self) -> None:
        """Stay where this part is while both copies are compared."""
        context = self._context
        while not context.stopping.is_set() and await context.store.holds_copy(context.partition):
            context.tally.beat()
            await context.rest(LOOK_SECONDS)

    async def _try_swap(self) -> bool:
        # While it waits for the tables, newcomers wait behind it: never more often than this,
        # however fast events come.
        if time.monotonic() < self._swap_due_mono:
            return False
        swapped = await self._context.store.swap(self._context.partition.projection)
        self._swap_due_mono = time.monotonic() + SWAP_RETRY_SECONDS
        return swapped

    async def halts(self, error: Exception) -> bool:
        """Record an error that the rebuild cannot go on after; the live copy goes on."""
        self._preview.forget()
        match error:
            case ApprovalNeededError():
                await self._wait_for_approval(str(error))
            case RebuildHaltedError(error_type=error_type):
                await self._halt(str(error), error_type)
            case RebuildStrayedError():
                await self._halt(str(error), type(error).__name__)
            case ProjectionError():
                await self._halt(str(error).rstrip("."), type(error).__name__)
            case _:
                return False
        return True

    async def _wait_for_approval(self, reason: str) -> None:
        projection = self._context.partition.projection
        await self._context.store.halt(self._context.partition, reason)
        logger.critical(
            "The rebuild of projection %s waits for a decision: %s. The live copy goes on",
            projection,
            reason,
            extra={
                "event": "sidecar.rebuild.halted",
                "projection": projection,
                "error_type": ApprovalNeededError.__name__,
            },
        )

    async def _halt(self, reason: str, error_type: str) -> None:
        projection = self._context.partition.projection
        await self._context.store.halt(self._context.partition, reason)
        logger.critical(
            "The rebuild of projection %s stopped: %s. The live copy goes on. Once that is mended, "
            "take it up again with `sidecar projections rebuild %s`",
            projection,
            reason,
            projection,
            extra={
                "event": "sidecar.rebuild.halted",
                "projection": projection,
                "error_type": error_type,
            },
        )
