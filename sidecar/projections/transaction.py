"""Applying events inside one transaction: all together, or each in a savepoint of its own."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sidecar.events.exit import as_failure, no_exit
from sidecar.events.record import RecordedEvent
from sidecar.projections.delivery import Batch, Delivery, EventFailedError
from sidecar.projections.failure_handler import FailureHandler
from sidecar.projections.observer import Action
from sidecar.projections.ports import Transaction
from sidecar.projections.projection import Subscription
from sidecar.projections.retry import Retry

# A transaction ends after about this long even if its page is not done, so that progress is seen,
# locks are short and a crash costs little.
BATCH_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 0.5


@dataclass(slots=True)
class Applied:
    """What one transaction came to.

    Attributes:
        upto: Position up to which everything is applied, put off, parked or not handled.
        events: How many were handled.
        parked: Events that were given up; their streams queue behind them.
        retry: When the event that it stopped before is to be tried again.
    """

    upto: int
    events: int = 0
    parked: list[RecordedEvent] = field(default_factory=list)
    retry: Retry | None = None


class Together:
    """Applies a batch with deferred writes, around events whose failure leaves nothing behind.

    Args:
        work: The transaction.
        subscription: What handles them.
        batch: The events.
        failures: Judges those that it goes around.
    """

    def __init__(
        self,
        transaction: Transaction,
        subscription: Subscription,
        batch: Batch,
        failures: FailureHandler,
    ) -> None:
        self._transaction: Final = transaction
        self._invoke: Final = subscription.subscriber.invoke
        self._limit_seconds: Final = subscription.timeout_seconds
        self._deliveries: Final = batch.deliveries
        self._failures: Final = failures
        self._applied: Final = Applied(batch.upto)
        self._blocked: Final[set[str]] = set()
        self._left_out: Final[dict[int, EventFailedError]] = {}
        self._at: Delivery | None = None

    async def apply(self) -> Applied:
        """Apply all of it, or as much as a transaction may take.

        Raises:
            EventFailedError: It may be this event's failure; a rollback has to undo it.
            Exception: It is nobody's in particular.
        """
        parked = await _parked_streams(self._transaction, self._deliveries)
        self._blocked.update(parked)
        try:
            async with asyncio.timeout(self._limit_seconds) as deadline:
                await self._handle(deadline)
                await self._transaction.flush()
        except TimeoutError as error:
            if self._at is None:
                raise
            raise EventFailedError(self._at, error) from error
        if self._left_out or not self._failures.is_calm:
            await self._judge(set(parked))
        return self._applied

    async def _handle(self, deadline: asyncio.Timeout) -> None:
        applied, blocked = self._applied, self._blocked
        connection, invoke = self._transaction.connection, self._invoke
        began_mono = checked_mono = time.monotonic()
        for delivery in self._deliveries:
            record = delivery.record
            if blocked and record.stream in blocked:
                continue
            self._at = delivery
            connection.begin_turn()
            try:
                if delivery.error is not None:
                    raise delivery.error  # noqa: TRY301 - judged as what the handler raises is
                await invoke(delivery.event, connection, record)
                connection.end_turn()
            # The edge between user code and ours.
            except BaseException as error:  # noqa: BLE001 - what is no failure is raised again
                connection.drop_turn()
                self._go_around(delivery, as_failure(error))
            else:
                applied.events += 1
            now_mono = time.monotonic()
            if now_mono - checked_mono < _CHECK_SECONDS:
                continue
            # Moving the deadline costs more than a call, so it moves now and then.
            checked_mono = now_mono
            deadline.reschedule(asyncio.get_running_loop().time() + self._limit_seconds)
            if now_mono - began_mono > BATCH_SECONDS:
                applied.upto = record.position
                break

    def _go_around(self, delivery: Delivery, error: Exception) -> None:
        """Leave an event out if nothing of it is left; else tell whose failure it is."""
        if self._transaction.is_blurred:
            raise error
        failure = EventFailedError(delivery, error)
        if not (self._failures.goes_around(error) and self._transaction.take_back()):
            raise failure from error
        self._left_out[delivery.record.position] = failure
        self._blocked.add(delivery.record.stream)

    async def _judge(self, blocked: set[str]) -> None:
        """Decide about what was left out, as if each was tried in its turn."""
        for delivery in self._deliveries:
            record = delivery.record
            if record.position > self._applied.upto:
                break
            if record.stream in blocked:
                continue
            failure = self._left_out.get(record.position)
            if failure is None:
                self._failures.succeeded(record.type)
                continue
            blocked.add(record.stream)
            if await self._failures.judge(self._transaction, failure) is Action.PARK:
                self._applied.parked.append(record)


async def apply_singly(
    transaction: Transaction, subscription: Subscription, batch: Batch, failures: FailureHandler
) -> Applied:
    """Apply a batch event by event; put off or park what fails, or stop before it.

    Raises:
        EventFailedError: It spoilt the transaction.
        Exception: What passes by itself, where a rollback undoes all effects.
    """
    applied = Applied(batch.upto)
    streams = set(await _parked_streams(transaction, batch.deliveries))
    ends_mono = time.monotonic() + BATCH_SECONDS
    for delivery in batch.deliveries:
        record = delivery.record
        if record.stream in streams:
            continue
        verdict = await _apply_or_judge(transaction, subscription, delivery, failures)
        if isinstance(verdict, Retry):
            applied.upto, applied.retry = record.position - 1, verdict
            break
        if verdict is None:
            applied.events += 1
        else:
            streams.add(record.stream)
        if verdict is Action.PARK:
            applied.parked.append(record)
        if time.monotonic() > ends_mono:
            applied.upto = record.position
            break
    return applied


async def _apply_or_judge(
    transaction: Transaction,
    subscription: Subscription,
    delivery: Delivery,
    failures: FailureHandler,
) -> Retry | Action | None:
    """Apply one event; return what is to be done about its failure, if it failed."""
    try:
        await apply_one(transaction, subscription, delivery)
    except EventFailedError as failure:
        if transaction.is_spoilt:
            raise
        return await failures.judge(transaction, failure)
    failures.succeeded(delivery.record.type)
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
                connection.end_turn()
            finally:
                connection.drop_turn()
            await transaction.settle()
    # The edge between user code and ours; cancellation is a BaseException and passes.
    except Exception as error:
        raise EventFailedError(delivery, error) from error


async def _parked_streams(
    transaction: Transaction, deliveries: Sequence[Delivery]
) -> frozenset[str]:
    """Return which of the deliveries' streams queue behind a dead letter."""
    if not transaction.has_parked:
        return frozenset()
    return await transaction.parked_among({delivery.record.stream for delivery in deliveries})
