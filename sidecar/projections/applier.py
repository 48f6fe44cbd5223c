"""Applying batches: each in one go, and in ever smaller parts to find what fails."""

from collections.abc import Callable
from math import ceil
from typing import Final

from sidecar.errors import trace_back
from sidecar.projections.context import PartitionContext
from sidecar.projections.cursor import Cursor
from sidecar.projections.delivery import Applied, Batch, EventFailedError
from sidecar.projections.eager_statements import EagerStatements, query_of_status
from sidecar.projections.environment_failure import is_of_environment
from sidecar.projections.failure_handler import NOT_OURS, FailureHandler
from sidecar.projections.failure_log import log_eager, log_parked, log_unfit
from sidecar.projections.lent_connection import LentConnection
from sidecar.projections.one_by_one import OneByOne
from sidecar.projections.together import Together

# A batch in which something failed is divided so, again and again, to find it.
SEARCH_PARTS: Final = 8


class Applier:
    """Applies one partition's batches, each with the move of its checkpoint.

    Args:
        context: Of the partition.
        cursor: Where it stands.
        failures: Decides about failed events.
        begun: Called once a transaction is open, and the handler is next.
    """

    def __init__(
        self,
        context: PartitionContext,
        cursor: Cursor,
        failures: FailureHandler,
        begun: Callable[[], None],
    ) -> None:
        self._context: Final = context
        self._cursor: Final = cursor
        self._failures: Final = failures
        self._begun: Final = begun
        self._one_by_one: Final = OneByOne(context, cursor, failures)
        self._eager: Final = EagerStatements(is_all=context.subscription.eager)
        # The deferred statement that made a batch fail.
        self._suspect: str | None = None

    async def apply(self, batch: Batch) -> bool:
        """Apply a batch; return True when all of it is done with.

        Raises:
            Exception: It is transient, or says that the partition is not ours to go on with.
        """
        records = [delivery.record for delivery in batch.deliveries]
        with self._context.observer.batch(self._context.partition.projection, records):
            # Effects outside the transaction are not undone by a rollback: such a handler must not
            # get an event again only because a later one failed.
            is_repeatable = self._context.subscription.is_repeatable
            if not is_repeatable or self._failures.failed_before(batch):
                self._begun()
                await self._one_by_one.apply(batch)
            else:
                await self._apply_around(batch)
        return self._cursor.seen >= batch.upto

    async def _apply_around(self, batch: Batch) -> None:
        """Apply in one go, and go around what fails; where that is not known, look for it."""
        rest: Batch | None = batch
        while rest is not None:
            match await self._try_together(rest):
                case Applied():
                    return
                # What may concern every event is looked for among several of them at a time.
                case EventFailedError(cause=cause) if is_of_environment(cause):
                    await self._search(rest)
                    return
                case EventFailedError(delivery=delivery):
                    before, one, rest = rest.around(delivery)
                    for part in (before, one):
                        if part is not None and not await self._apply_part(part):
                            return
                case _:
                    await self._search(rest)
                    return

    async def _apply_part(self, batch: Batch) -> bool:
        """Apply a part of a batch that failed; return True when what comes after it may follow."""
        if len(batch.deliveries) == 1:
            await self._apply_singly(batch)
        elif not isinstance(await self._try_together(batch), Applied):
            await self._search(batch)
        return self._cursor.seen >= batch.upto and not self._context.stopping.is_set()

    async def _search(self, batch: Batch) -> None:
        """Divide, until what fails is among few events, and apply those one by one."""
        if len(batch.deliveries) <= SEARCH_PARTS:
            await self._apply_singly(batch)
            return
        for part in batch.split(ceil(len(batch.deliveries) / SEARCH_PARTS)):
            if not await self._apply_part(part):
                return

    async def _try_together(self, batch: Batch) -> Applied | Exception:
        """Apply all in one go; return the error that undid it, of one event where that is known."""
        connection: LentConnection | None = None
        try:
            async with self._cursor.begin(eager=self._eager.is_all) as transaction:
                connection = transaction.connection
                connection.send_at_once(self._eager)
                together = Together(self._context, transaction, batch, self._failures)
                await together.leave_out_parked()
                self._begun()
                applied = await together.apply()
                await transaction.move(applied.upto)
        except NOT_OURS:
            raise
        except Exception as error:  # noqa: BLE001 - transient errors are raised again
            cause = error.cause if isinstance(error, EventFailedError) else error
            self._pass_on(cause)
            self._context.tally.replays += 1
            if connection is not None:
                self._suspect = connection.failed_query
                self._learn(cause, connection.last_query)
            return error
        self._suspect = None
        self._cursor.moved(applied.upto, applied.events)
        self._failures.recovered()
        log_parked(self._context.partition, applied.parked)
        return applied

    async def _apply_singly(self, batch: Batch) -> None:
        """Apply one by one; where nothing fails so, a statement was to blame that waited."""
        suspect, self._suspect = self._suspect, None
        failures = self._failures.reported
        await self._one_by_one.apply(batch)
        is_sound = self._failures.reported == failures and self._cursor.seen >= batch.upto
        if suspect is not None and is_sound and self._eager.suspect(suspect):
            log_unfit(self._context.partition, suspect, is_all=self._eager.is_all)

    def _pass_on(self, error: Exception) -> None:
        """Raise a transient error."""
        if self._context.store.is_transient(error):
            raise error

    def _learn(self, error: Exception, last_query: str) -> None:
        """Learn from the use of a status what would make each batch fail."""
        for cause in trace_back(error):
            query = query_of_status(cause, last_query)
            if query and self._eager.learn(query):
                log_eager(self._context.partition, query, cause, is_all=self._eager.is_all)
