"""What the live copy has applied beyond another copy, applied to that as well."""

from collections.abc import Sequence

from sidecar.events.record import RecordedEvent
from sidecar.projections.context import PartitionContext
from sidecar.projections.delivery import EventFailedError
from sidecar.projections.failure_handler import RebuildHaltedError
from sidecar.projections.one_by_one import apply_one
from sidecar.projections.ports import Transaction


async def apply_tail(
    context: PartitionContext, transaction: Transaction, records: Sequence[RecordedEvent]
) -> None:
    """Apply events one by one.

    Raises:
        RebuildHaltedError: One failed, and will fail again.
        Exception: It is transient.
    """
    for delivery in context.router.route(records):
        try:
            await apply_one(transaction, context.subscription, delivery)
        except EventFailedError as failure:
            if context.store.is_transient(failure.cause):
                raise failure.cause from failure
            raise RebuildHaltedError(failure) from failure
