"""Applying events to a read model inside one transaction."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.projections.projection import Subscription
from sidecar.projections.route import Delivery
from sidecar.projections.work import Work

# A transaction ends after about this long even if its page is not done, so that progress is seen,
# locks are short and a crash costs little.
BATCH_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a transaction came.

    Attributes:
        upto: Position up to which everything is applied, parked or not handled.
        events: How many were handled.
    """

    upto: int
    events: int


class EventFailedError(Exception):
    """Carries one event's failure out of its savepoint; `cause` is what the handler raised."""

    def __init__(self, delivery: Delivery, cause: Exception) -> None:
        super().__init__(delivery.record.position)
        self.delivery = delivery
        self.cause = cause


async def apply_together(
    work: Work, subscription: Subscription, deliveries: Sequence[Delivery], upto: int
) -> Applied:
    """Apply a page with deferred writes; whatever fails fails the whole transaction.

    Raises:
        TimeoutError: One event, or the writes behind them, took longer than `timeout_seconds`.
    """
    parked = await parked_streams(work, deliveries)
    invoke, limit = subscription.subscriber.bind(work.connection), subscription.timeout_seconds
    events = 0
    began_mono = checked_mono = time.monotonic()
    async with asyncio.timeout(limit) as timeout:
        for delivery in deliveries:
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
            await invoke(delivery.event, delivery.record)
            await work.flush()
    # The edge between user code and ours; cancellation is a BaseException and passes.
    except Exception as error:
        raise EventFailedError(delivery, error) from error


async def parked_streams(work: Work, deliveries: Sequence[Delivery]) -> frozenset[str]:
    """Return which of the deliveries' streams queue behind a dead letter."""
    if not work.has_parked:
        return frozenset()
    return await work.parked_among({delivery.record.stream for delivery in deliveries})
