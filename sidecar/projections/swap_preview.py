"""Looking at what a swap changes, before it: both copies are compared, part by part.

The loop of the first partition does it, once the new copy is filled; the other loops of that copy
stay where they are meanwhile. In one snapshot, what the live copy has applied beyond the new one is
applied to it as well, and a part of both is compared; all that is rolled back. Nobody who reads or
writes the live copy waits.
"""

import time
from typing import Final

from sidecar.errors import ApprovalNeededError
from sidecar.projections.comparison import Report
from sidecar.projections.context import PartitionContext
from sidecar.projections.copy_tail import apply_tail
from sidecar.projections.cursor import Cursor
from sidecar.projections.ports import CopyComparison, Preview
from sidecar.projections.preview import Distance, describe_loss, judge_distance, needs_approval

TAIL_EVENTS: Final = 500
LOOK_SECONDS: Final = 0.05
LEVEL_SECONDS: Final = 3.0
"""A live copy that has not come up by then is compared where it stands."""


class SwapPreview:
    """Compares a filled copy with the live one, and decides whether a person has to approve."""

    def __init__(self, context: PartitionContext, cursor: Cursor) -> None:
        self._context: Final = context
        self._cursor: Final = cursor
        self._preview: Preview | None = None

    def forget(self) -> None:
        """Begin the comparison again at the next look."""
        self._preview = None

    async def look(self) -> None:
        """Compare as much as can be compared now; return when the new copy has to catch up first.

        Raises:
            ApprovalNeededError: The swap would take rows away.
        """
        projection = self._context.partition.projection
        verdict = await self._context.store.read_preview(projection)
        report = verdict.report or await self._compare_all()
        if report is not None and needs_approval(report) and not verdict.is_approved:
            raise ApprovalNeededError(describe_loss(projection, report))

    async def _compare_all(self) -> Report | None:
        preview = self._preview or await self._context.store.open_preview(self._context.partition)
        self._preview = preview
        began_mono = time.monotonic()
        while not self._context.stopping.is_set():
            self._context.tally.beat()
            may_wait = time.monotonic() - began_mono < LEVEL_SECONDS
            distance = await self._compare_part(preview, may_wait=may_wait)
            if distance is Distance.BEHIND:
                return None
            if distance is Distance.AHEAD:
                await self._context.rest(LOOK_SECONDS)
            elif preview.is_over:
                self.forget()
                return await preview.judge()
        return None

    async def _compare_part(self, preview: Preview, *, may_wait: bool) -> Distance:
        async with preview.compare(self._cursor.stored) as comparison:
            if comparison is None:
                return Distance.AHEAD
            distance = judge_distance(comparison.pairs, may_wait=may_wait)
            if distance is Distance.LEVEL:
                await self._bring_up(comparison)
                await comparison.compare_next()
            return distance

    async def _bring_up(self, comparison: CopyComparison) -> None:
        """Apply to the new copy what the live one has passed; it is rolled back afterwards."""
        after = 0
        while records := await comparison.missing_events(after, TAIL_EVENTS):
            await apply_tail(self._context, comparison, records)
            after = records[-1].position
