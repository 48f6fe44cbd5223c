"""Applying events one by one, each in a savepoint of its own, so that one can fail alone."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from sidecar.events.exit import no_exit
from sidecar.projections.context import BATCH_SECONDS, PartitionContext
from sidecar.projections.cursor import Cursor
from sidecar.projections.delivery import Applied, Batch, Delivery, EventFailedError
from sidecar.projections.failure_handler import NOT_OURS, FailureHandler, StandStillBefore
from sidecar.projections.failure_log import log_parked
from sidecar.projections.ports import Transaction
from sidecar.projections.projection import Subscription
from sidecar.projections.retry import Park, Retry, StopBefore


@dataclass(slots=True)
class Stopped(Applied):
    """A transaction that ended before an event, and why."""

    stop: StopBefore | StandStillBefore = field(kw_only=True)


class OneByOne:
    """Applies one partition's events one by one, and puts off or parks what fails."""

    def __init__(self, context: PartitionContext, cursor: Cursor, failures: FailureHandler) -> None:
        self._context: Final = context
        self._cursor: Final = cursor
        self._failures: Final = failures

    async def apply(self, batch: Batch) -> None:
        """Apply a batch, or as much of it as may be applied now.

        Raises:
            Exception: It is transient, or says that the partition is not ours to go on with.
        """
        try:
            await self._apply_in_savepoints(batch)
        except NOT_OURS:
            raise
        except EventFailedError as failure:
            # It spoilt its transaction, so that it is decided about in another.
            await self.apply(batch.with_failed(failure.delivery, failure.cause))
        except Exception as error:
            first = batch.deliveries[0]
            is_repeatable = self._context.subscription.is_repeatable
            if self._context.store.is_transient(error) or not is_repeatable:
                raise
            if len(batch.deliveries) > 1:
                await self._apply_apart(batch)
            # What fails without a handler is our own.
            elif first.error is not None:
                raise
            else:
                await self.apply(batch.with_failed(first, error))

    async def _apply_apart(self, batch: Batch) -> None:
        """Apply each event in a transaction of its own, whose end may fail, too."""
        for part in batch.split(1):
            await self.apply(part)
            if self._cursor.seen < part.upto or self._context.stopping.is_set():
                return

    async def _apply_in_savepoints(self, batch: Batch) -> None:
        """Apply event by event in one transaction, and wait where that is to be tried again."""
        async with self._cursor.begin(eager=True) as transaction:
            applied = await self._apply_each(transaction, batch)
            is_ahead = applied.upto > self._cursor.stored
            if is_ahead:
                await transaction.move(applied.upto)
        if is_ahead:
            self._cursor.moved(applied.upto, applied.events)
            self._failures.recovered()
            log_parked(self._context.partition, applied.parked)
        if isinstance(applied, Stopped):
            await self._stop(applied.stop)

    async def _stop(self, stop: StopBefore | StandStillBefore) -> None:
        match stop:
            case StopBefore(after_seconds):
                await self._context.rest(after_seconds)
            case StandStillBefore(failed):
                raise failed

    async def _apply_each(self, transaction: Transaction, batch: Batch) -> Applied:
        """Apply a batch event by event; put off or park what fails, or stop before it.

        Raises:
            EventFailedError: It spoilt the transaction.
            Exception: It is transient, where a rollback undoes all effects.
        """
        applied = Applied(batch.upto)
        streams = (delivery.record.stream for delivery in batch.deliveries)
        blocked = set(await transaction.parked_among(streams))
        ends_mono = time.monotonic() + BATCH_SECONDS
        for delivery in batch.deliveries:
            record = delivery.record
            if record.stream in blocked:
                continue
            match await self._apply_or_decide(transaction, delivery):
                case StopBefore() | StandStillBefore() as stop:
                    upto = record.position - 1
                    return Stopped(upto, applied.events, applied.parked, stop=stop)
                case Park():
                    blocked.add(record.stream)
                    applied.parked.append(record)
                case Retry():
                    blocked.add(record.stream)
                case None:
                    applied.events += 1
            if time.monotonic() > ends_mono:
                applied.upto = record.position
                break
        return applied

    async def _apply_or_decide(
        self, transaction: Transaction, delivery: Delivery
    ) -> Retry | Park | StopBefore | StandStillBefore | None:
        """Apply one event; return what is done about its failure, None when it did not fail."""
        try:
            await apply_one(transaction, self._context.subscription, delivery)
        except EventFailedError as failure:
            if transaction.is_spoilt:
                raise
            return await self._failures.handle(transaction, failure)
        self._failures.succeeded(delivery.record.type)
        return None


async def apply_one(
    transaction: Transaction, subscription: Subscription, delivery: Delivery
) -> None:
    """Apply one event in a savepoint of its own.

    Raises:
        EventFailedError: The handler failed or hung, or left what its read model does not allow;
            its writes are rolled back.
    """
    if delivery.error is not None:
        raise EventFailedError(delivery, delivery.error) from delivery.error
    try:
        async with transaction.savepoint(), asyncio.timeout(subscription.timeout_seconds):
            connection, invoke = transaction.connection, subscription.subscriber.invoke
            connection.begin_turn()
            try:
                with no_exit():
                    await invoke(delivery.event, connection, delivery.record)
                await connection.check_turn()
            finally:
                connection.end_turn()
            await connection.settle()
    # The edge between user code and ours; cancellation is a BaseException and passes.
    except Exception as error:
        raise EventFailedError(delivery, error) from error
