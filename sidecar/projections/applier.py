"""Applying batches: each in one go, and event by event to find what fails."""

import asyncio
from dataclasses import dataclass
from math import ceil
from typing import Final

from sidecar.errors import DeferredStatusError, trace_back
from sidecar.events.wait import wait_at_most
from sidecar.projections.cursor import Cursor
from sidecar.projections.delivery import Batch, Delivery, EventFailedError
from sidecar.projections.failure_handler import NOT_OURS, FailureHandler
from sidecar.projections.failure_log import log_eager
from sidecar.projections.ports import ProjectionStore
from sidecar.projections.projection import Subscription
from sidecar.projections.transaction import Applied, Together, apply_singly

# A batch in which something failed is divided so, again and again, to find it.
SEARCH_PARTS: Final = 8


@dataclass(frozen=True, slots=True)
class Failed:
    """What failed a batch: this delivery, or one that has to be found."""

    delivery: Delivery | None = None


class Applier:
    """Applies one partition's batches, each with the move of its checkpoint.

    Args:
        subscription: What handles them.
        desk: Knows which errors pass by themselves.
        cursor: Where the partition stands.
        failures: Judges what fails.
        stopping: Set when no more transactions are to begin.
    """

    def __init__(
        self,
        subscription: Subscription,
        *,
        store: ProjectionStore,
        cursor: Cursor,
        failures: FailureHandler,
        stopping: asyncio.Event,
    ) -> None:
        self._subscription: Final = subscription
        self._store: Final = store
        self._cursor: Final = cursor
        self._failures: Final = failures
        self._stopping: Final = stopping
        self._is_eager = subscription.eager

    async def apply(self, batch: Batch) -> bool:
        """Apply a batch and tell whether all of it is behind us.

        Raises:
            Exception: What passes by itself, or says that the partition is not ours to go on with.
        """
        before = self._failures.begin([delivery.record for delivery in batch.deliveries])
        try:
            # Effects outside the transaction are not undone by a rollback: such a handler must not
            # see an event again only because a later one failed.
            if not self._subscription.is_repeatable or self._failures.is_suspect(batch):
                await self._apply_singly(batch)
            else:
                await self._apply_around(batch)
        finally:
            self._failures.end(before)
        return self._cursor.seen >= batch.upto

    async def pass_over(self, upto: int) -> None:
        """Store that everything up to a position is behind us, though nothing was to be handled."""
        async with self._cursor.begin(eager=True) as transaction:
            await transaction.move(upto)
        self._moved(Applied(upto))

    async def _apply_around(self, batch: Batch) -> None:
        """Apply in one go, and go around what fails; where that is not known, look for it."""
        rest: Batch | None = batch
        while rest is not None:
            failed = await self._try_together(rest)
            if failed is None:
                return
            if failed.delivery is None:
                await self._search(rest)
                return
            before, one, rest = rest.around(failed.delivery)
            for part in (before, one):
                if part is not None and not await self._apply_part(part):
                    return

    async def _apply_part(self, batch: Batch) -> bool:
        """Apply a part of a batch that failed; tell whether what comes after it may follow."""
        if len(batch.deliveries) == 1:
            await self._apply_singly(batch)
        elif await self._try_together(batch) is not None:
            await self._search(batch)
        return self._cursor.seen >= batch.upto and not self._stopping.is_set()

    async def _search(self, batch: Batch) -> None:
        """Divide, until what fails is among few events, and apply those one by one."""
        if len(batch.deliveries) <= SEARCH_PARTS:
            await self._apply_singly(batch)
            return
        for part in batch.split(ceil(len(batch.deliveries) / SEARCH_PARTS)):
            if not await self._apply_part(part):
                return

    async def _try_together(self, batch: Batch) -> Failed | None:
        """Apply all in one go; return what failed, if anything did."""
        try:
            async with self._cursor.begin(eager=self._is_eager) as transaction:
                together = Together(transaction, self._subscription, batch, self._failures)
                applied = await together.apply()
                await transaction.move(applied.upto)
        except NOT_OURS:
            raise
        except EventFailedError as failure:
            self._look_at(failure.cause)
            return Failed(failure.delivery)
        except Exception as error:  # noqa: BLE001 - what passes by itself is raised again
            self._look_at(error)
            return Failed()
        self._moved(applied)
        return None

    def _look_at(self, error: Exception) -> None:
        """Raise what passes by itself, and learn from what would fail each batch."""
        if self._store.is_transient(error):
            raise error
        is_misread = any(isinstance(cause, DeferredStatusError) for cause in trace_back(error))
        if is_misread and not self._is_eager:
            self._is_eager = True
            log_eager(self._cursor.partition, error)

    async def _apply_singly(self, batch: Batch) -> None:
        """Apply event by event."""
        try:
            await self._apply_in_savepoints(batch)
        except NOT_OURS:
            raise
        except EventFailedError as failure:
            # It spoilt its transaction, so that it is judged in another.
            await self._apply_singly(batch.condemn(failure.delivery, failure.cause))
        except Exception as error:
            first = batch.deliveries[0]
            if self._store.is_transient(error) or not self._subscription.is_repeatable:
                raise
            if len(batch.deliveries) > 1:
                await self._apply_apart(batch)
            # What fails without a handler is our own.
            elif first.error is not None:
                raise
            else:
                await self._apply_singly(batch.condemn(first, error))

    async def _apply_apart(self, batch: Batch) -> None:
        """Apply each event in a transaction of its own, whose end may fail, too."""
        for part in batch.split(1):
            if not await self._apply_part(part):
                return

    async def _apply_in_savepoints(self, batch: Batch) -> None:
        """Apply event by event in one transaction, and wait where that is to be tried again."""
        async with self._cursor.begin(eager=True) as transaction:
            applied = await apply_singly(transaction, self._subscription, batch, self._failures)
            is_ahead = applied.upto > self._cursor.stored
            if is_ahead:
                await transaction.move(applied.upto)
        if is_ahead:
            self._moved(applied)
        if applied.retry is not None:
            await wait_at_most(self._stopping, applied.retry.after_seconds)

    def _moved(self, applied: Applied) -> None:
        self._cursor.moved(applied.upto, applied.events)
        self._failures.recovered()
        self._failures.tell_parked(applied.parked)
