"""Applying batches: each in one go, and event by event to find what fails."""

import asyncio
from typing import Final

from sidecar.errors import (
    CheckpointGoneError,
    CheckpointMovedError,
    ProjectionPausedError,
    RebuildStrayedError,
)
from sidecar.events.wait import wait_at_most
from sidecar.projections.containment import Containment
from sidecar.projections.cursor import Cursor
from sidecar.projections.delivery import Batch
from sidecar.projections.projection import Subscription
from sidecar.projections.transaction import apply_singly, apply_together
from sidecar.projections.work import Desk

# A batch in which something failed is applied in lots of this size, to find it.
SEARCH_EVENTS: Final = 200


class Applier:
    """Applies one partition's batches, each with the move of its checkpoint.

    Args:
        subscription: What handles them.
        desk: Knows which errors pass by themselves.
        cursor: Where the partition stands.
        containment: Judges what fails.
        stopping: Set when no more transactions are to begin.
    """

    def __init__(
        self,
        subscription: Subscription,
        *,
        desk: Desk,
        cursor: Cursor,
        containment: Containment,
        stopping: asyncio.Event,
    ) -> None:
        self._subscription: Final = subscription
        self._desk: Final = desk
        self._cursor: Final = cursor
        self._containment: Final = containment
        self._stopping: Final = stopping

    async def apply(self, batch: Batch) -> bool:
        """Apply a batch and tell whether all of it is behind us.

        Raises:
            Exception: What passes by itself, or says that the partition is not ours to go on with.
        """
        before = self._containment.begin([delivery.record for delivery in batch.deliveries])
        try:
            # Effects outside the transaction are not undone by a rollback: such a handler must not
            # see an event again only because a later one failed.
            if not self._subscription.is_repeatable:
                await self._apply_singly(batch)
            elif self._containment.is_suspect(batch) or not await self._try_together(batch):
                await self._search(batch)
        finally:
            self._containment.end(before)
        return self._cursor.seen >= batch.upto

    async def pass_over(self, upto: int) -> None:
        """Store that everything up to a position is behind us, though nothing was to be handled."""
        async with self._cursor.begin(eager=True) as work:
            await work.move(upto)
        self._moved(upto, 0)

    async def _search(self, batch: Batch) -> None:
        """Apply lot by lot, and event by event where something fails."""
        for lot in batch.split(SEARCH_EVENTS):
            if lot is batch or not await self._try_together(lot):
                await self._apply_singly(lot)
            if self._stopping.is_set() or self._cursor.seen < lot.upto:
                return

    async def _try_together(self, batch: Batch) -> bool:
        """Apply all in one go and tell whether that went; what failed then has to be found."""
        if self._containment.is_suspect(batch) or any(d.error for d in batch.deliveries):
            return False
        try:
            async with self._cursor.begin(eager=self._subscription.eager) as work:
                applied = await apply_together(work, self._subscription, batch)
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

    async def _apply_singly(self, batch: Batch) -> None:
        """Apply event by event, and wait where one is to be tried again."""
        async with self._cursor.begin(eager=True) as work:
            applied = await apply_singly(work, self._subscription, batch, self._containment)
            is_ahead = applied.upto > self._cursor.stored
            if is_ahead:
                await work.move(applied.upto)
        if is_ahead:
            self._moved(applied.upto, applied.events)
        self._containment.tell_parked(applied.parked)
        if applied.retry is not None:
            await wait_at_most(self._stopping, applied.retry.after_seconds)

    def _moved(self, position: int, events: int) -> None:
        self._cursor.moved(position, events)
        self._containment.recovered()
