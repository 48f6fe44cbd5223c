"""Standing still while nothing can be applied, and going on by itself when that is over."""

import random
from contextlib import suppress
from typing import Final

from sidecar.projections.context import PartitionContext
from sidecar.projections.cursor import Cursor
from sidecar.projections.delivery import EventFailedError
from sidecar.projections.environment_failure import (
    EnvironmentFailedError,
    describe_halt,
)
from sidecar.projections.failure_log import log_halted, log_relieved
from sidecar.projections.observer import Action
from sidecar.projections.one_by_one import apply_one
from sidecar.projections.ports import Transaction
from sidecar.projections.retry import delay_seconds

# However long it lasts, its end is noticed within about this time.
MAX_LOOK_SECONDS: Final = 5.0


class _TrialError(Exception):
    """Rolls back what was written only to find out whether it can be."""


class Standstill:
    """Keeps one partition where it is while PostgreSQL refuses its events, whichever they are."""

    def __init__(self, context: PartitionContext, cursor: Cursor) -> None:
        self._context: Final = context
        self._cursor: Final = cursor
        self._failed: EnvironmentFailedError | None = None
        self._looks = 0

    def begin(self, failed: EnvironmentFailedError) -> None:
        """Stand still from here on."""
        self._failed, self._looks = failed, 0
        self._cursor.is_halted = True
        self._context.tally.add_failure(failed.error_type, Action.HALT)
        log_halted(self._context.partition, self._describe(failed), failed.cause)

    def end(self) -> None:
        """Stand still no more."""
        self._failed = None
        self._cursor.is_halted = False

    async def holds(self) -> bool:
        """Return False where events can be tried; else wait, and find out whether that is over.

        Raises:
            ProjectionPausedError: The projection was paused; it stands still on.
            Exception: It is transient.
        """
        failed = self._failed
        if failed is None:
            return False
        context = self._context
        # Once more each time, for a person may have resumed it.
        await context.store.stand_still(
            context.partition, self._describe(failed), failed.error_type
        )
        context.tally.beat()
        self._looks += 1
        await context.rest(min(delay_seconds(self._looks, random.random()), MAX_LOOK_SECONDS))
        if not context.stopping.is_set() and await self._is_over(failed):
            await context.store.go_on(context.partition)
            self.end()
            log_relieved(context.partition)
        return True

    async def _is_over(self, failed: EnvironmentFailedError) -> bool:
        """Return True when any of the events is refused no more; nothing is kept of the trial."""
        is_over = False
        with suppress(_TrialError):
            async with self._cursor.begin(eager=True) as transaction:
                is_over = await self._try(transaction, failed)
                raise _TrialError
        return is_over

    async def _try(self, transaction: Transaction, failed: EnvironmentFailedError) -> bool:
        """Return True when one of the events is applied, or fails in another way than before."""
        deliveries = self._context.router.route(failed.records)
        for delivery in deliveries:
            self._context.tally.beat()
            try:
                await apply_one(transaction, self._context.subscription, delivery)
            except EventFailedError as failure:
                if self._context.store.is_transient(failure.cause):
                    raise failure.cause from failure
                if not failed.is_met_again(failure.cause):
                    return True
                if transaction.is_spoilt:
                    return False
            else:
                return True
        # None is wanted any more.
        return not deliveries

    def _describe(self, failed: EnvironmentFailedError) -> str:
        return describe_halt(failed.cause, failed.sqlstate, self._context.observer.redact)
