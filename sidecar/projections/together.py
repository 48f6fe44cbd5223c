"""Applying a batch in one transaction, with the handlers' writes sent together."""

import asyncio
import time
from typing import Final

from sidecar.events.exit import as_failure
from sidecar.projections.context import BATCH_SECONDS, PartitionContext
from sidecar.projections.delivery import Applied, Batch, Delivery, EventFailedError
from sidecar.projections.eager_statements import has_used_status
from sidecar.projections.failure_handler import FailureHandler
from sidecar.projections.ports import Transaction
from sidecar.projections.retry import Park

_LOOK_SECONDS: Final = 0.5


class Together:
    """Applies a batch with deferred writes, around events whose failure leaves nothing behind.

    Args:
        context: Of the partition.
        transaction: Open at the partition's checkpoint.
        batch: The events.
        failures: Decides about those that it goes around.
    """

    def __init__(
        self,
        context: PartitionContext,
        transaction: Transaction,
        batch: Batch,
        failures: FailureHandler,
    ) -> None:
        self._transaction: Final = transaction
        self._invoke: Final = context.subscription.subscriber.invoke
        self._limit_seconds: Final = context.subscription.timeout_seconds
        self._deliveries: Final = batch.deliveries
        self._failures: Final = failures
        self._applied: Final = Applied(batch.upto)
        self._parked: frozenset[str] = frozenset()
        self._blocked: Final[set[str]] = set()
        self._left_out: Final[dict[int, EventFailedError]] = {}
        self._at: Delivery | None = None
        self._began_mono: Final = time.monotonic()
        self._look_mono = self._began_mono + _LOOK_SECONDS

    async def leave_out_parked(self) -> None:
        """Leave out the events of parked streams."""
        streams = (delivery.record.stream for delivery in self._deliveries)
        self._parked = await self._transaction.parked_among(streams)
        self._blocked.update(self._parked)

    async def apply(self) -> Applied:
        """Apply all of the rest, or as much as a transaction may take.

        Raises:
            EventFailedError: It may be this event's failure; a rollback has to undo it.
            Exception: It is no event's in particular.
        """
        try:
            async with asyncio.timeout(self._limit_seconds) as deadline:
                await self._handle(deadline)
                await self._transaction.connection.flush()
        except TimeoutError as error:
            if self._at is None:
                raise
            raise EventFailedError(self._at, error) from error
        if self._left_out or not self._failures.is_calm:
            await self._decide(set(self._parked))
        return self._applied

    async def _handle(self, deadline: asyncio.Timeout) -> None:
        """Call the handler with one event after the other: what is done here is done for each."""
        connection, invoke, blocked = self._transaction.connection, self._invoke, self._blocked
        handled = 0
        for delivery in self._deliveries:
            record = delivery.record
            if blocked and record.stream in blocked:
                continue
            self._at = delivery
            connection.begin_turn()
            try:
                if delivery.error is not None:
                    raise delivery.error  # noqa: TRY301 - handled as what the handler raises is
                await invoke(delivery.event, connection, record)
                if connection.is_touched:
                    await connection.check_turn()
            # The edge between user code and ours.
            except BaseException as error:  # noqa: BLE001 - what is no failure is raised again
                connection.end_turn()
                self._go_around(delivery, as_failure(error))
            else:
                handled += 1
            if time.monotonic() > self._look_mono and self._must_end(deadline):
                self._applied.upto = record.position
                break
        connection.end_turn()
        self._applied.events = handled

    def _must_end(self, deadline: asyncio.Timeout) -> bool:
        """Return True when the transaction has lasted enough; else give the next event its time."""
        # Moving the deadline costs more than a call, so it moves now and then.
        now_mono = time.monotonic()
        self._look_mono = now_mono + _LOOK_SECONDS
        deadline.reschedule(asyncio.get_running_loop().time() + self._limit_seconds)
        return now_mono - self._began_mono > BATCH_SECONDS

    def _go_around(self, delivery: Delivery, error: Exception) -> None:
        """Leave an event out if nothing of it is left; else raise whose failure it is."""
        connection = self._transaction.connection
        if connection.is_blurred:
            raise error
        failure = EventFailedError(delivery, error)
        is_its_own = not has_used_status(error, connection.last_query)
        can_go_around = is_its_own and self._failures.can_go_around(error)
        if not (can_go_around and connection.take_back()):
            raise failure from error
        self._left_out[delivery.record.position] = failure
        self._blocked.add(delivery.record.stream)

    async def _decide(self, blocked: set[str]) -> None:
        """Decide about what was left out, as if each was tried in its turn."""
        succeeded: set[str] = set()
        for delivery in self._deliveries:
            record = delivery.record
            if record.position > self._applied.upto:
                break
            if record.stream in blocked:
                continue
            failure = self._left_out.get(record.position)
            if failure is None:
                # Until something fails, a second success of a type changes nothing.
                if record.type not in succeeded:
                    succeeded.add(record.type)
                    self._failures.succeeded(record.type)
                continue
            succeeded.clear()
            blocked.add(record.stream)
            if isinstance(await self._failures.handle(self._transaction, failure), Park):
                self._applied.parked.append(record)
