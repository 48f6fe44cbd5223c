"""Applying events inside one transaction: all together, or each in a savepoint of its own."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sidecar.events.exit import no_exit
from sidecar.events.record import RecordedEvent
from sidecar.projections.containment import Containment
from sidecar.projections.delivery import Batch, Delivery, EventFailedError
from sidecar.projections.projection import Subscription
from sidecar.projections.retry import Retry
from sidecar.projections.work import Work

# A transaction ends after about this long even if its page is not done, so that progress is seen,
# locks are short and a crash costs little.
BATCH_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 0.5


@dataclass(slots=True)
class Applied:
    """What one transaction came to.

    Attributes:
        upto: Position up to which everything is applied, parked or not handled.
        events: How many were handled.
        parked: Events that were given up; their streams queue behind them.
        retry: When the event that it stopped before is to be tried again.
    """

    upto: int
    events: int = 0
    parked: list[RecordedEvent] = field(default_factory=list)
    retry: Retry | None = None


async def apply_together(work: Work, subscription: Subscription, batch: Batch) -> Applied:
    """Apply a batch with deferred writes; whatever fails fails the whole transaction.

    Raises:
        TimeoutError: One event, or the writes behind them, took longer than `timeout_seconds`.
    """
    parked = await _parked_streams(work, batch.deliveries)
    invoke, limit = subscription.subscriber.bind(work.connection), subscription.timeout_seconds
    upto, events = batch.upto, 0
    began_mono = checked_mono = time.monotonic()
    async with asyncio.timeout(limit) as timeout:
        with no_exit():
            for delivery in batch.deliveries:
                record = delivery.record
                if parked and record.stream in parked:
                    continue
                await invoke(delivery.event, record)
                events += 1
                now_mono = time.monotonic()
                if now_mono - checked_mono < _CHECK_SECONDS:
                    continue
                # Moving the deadline costs more than a call, so it moves now and then.
                checked_mono = now_mono
                timeout.reschedule(asyncio.get_running_loop().time() + limit)
                if now_mono - began_mono > BATCH_SECONDS:
                    upto = record.position
                    break
        await work.flush()
    return Applied(upto, events)


async def apply_singly(
    work: Work, subscription: Subscription, batch: Batch, containment: Containment
) -> Applied:
    """Apply a batch event by event; park what fails for good, stop before what is to be retried.

    Raises:
        Exception: What passes by itself, where a rollback undoes all effects.
    """
    applied = Applied(batch.upto)
    streams = set(await _parked_streams(work, batch.deliveries))
    ends_mono = time.monotonic() + BATCH_SECONDS
    for delivery in batch.deliveries:
        record = delivery.record
        if record.stream in streams:
            continue
        try:
            await apply_one(work, subscription, delivery)
        except EventFailedError as failure:
            applied.retry = await containment.judge(work, failure)
            if applied.retry is not None:
                applied.upto = record.position - 1
                break
            streams.add(record.stream)
            applied.parked.append(record)
        else:
            applied.events += 1
            containment.succeeded()
        if time.monotonic() > ends_mono:
            applied.upto = record.position
            break
    return applied


async def apply_one(work: Work, subscription: Subscription, delivery: Delivery) -> None:
    """Apply one event in a savepoint of its own.

    Raises:
        EventFailedError: The handler failed or hung; its writes are rolled back.
    """
    if delivery.error is not None:
        raise EventFailedError(delivery, delivery.error) from delivery.error
    invoke = subscription.subscriber.bind(work.connection)
    try:
        async with work.savepoint(), asyncio.timeout(subscription.timeout_seconds):
            with no_exit():
                await invoke(delivery.event, delivery.record)
            await work.flush()
    # The edge between user code and ours; cancellation is a BaseException and passes.
    except Exception as error:
        raise EventFailedError(delivery, error) from error


async def _parked_streams(work: Work, deliveries: Sequence[Delivery]) -> frozenset[str]:
    """Return which of the deliveries' streams queue behind a dead letter."""
    if not work.has_parked:
        return frozenset()
    return await work.parked_among({delivery.record.stream for delivery in deliveries})
