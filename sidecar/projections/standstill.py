"""Standing still while nothing can be applied, and going on by itself when that is over."""

import random
from contextlib import suppress
from enum import Enum, auto
from typing import Final

from sidecar.projections.context import PartitionContext
from sidecar.projections.cursor import Cursor
from sidecar.projections.delivery import Delivery, EventFailedError
from sidecar.projections.environment_failure import (
    RIGHT_MISSING,
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


class _Trial(Enum):
    """What became of an event that was tried again."""

    APPLIED = auto()
    REFUSED = auto()
    FAILED_OTHERWISE = auto()


class _TrialError(Exception):
    """Rolls back what was written only to find out whether it can be."""


class Standstill:
    """Keeps one partition where it is while PostgreSQL refuses its events, whichever they are."""

    def __init__(self, context: PartitionContext, cursor: Cursor) -> None:
        self._context: Final = context
        self._cursor: Final = cursor
        self._failed: EnvironmentFailedError | None = None
        self._looks = 0
        self._grants: tuple[str, ...] = ()

    async def begin(self, failed: EnvironmentFailedError) -> None:
        """Stand still from here on."""
        self._failed, self._looks = failed, 0
        self._grants = await self._list_grants(failed)
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
        if not self._context.subscription.is_repeatable:
            return await self._try_for_good(failed)
        is_over = False
        with suppress(_TrialError):
            async with self._cursor.begin(eager=True) as transaction:
                is_over = await self._try(transaction, failed)
                raise _TrialError
        return is_over

    async def _try_for_good(self, failed: EnvironmentFailedError) -> bool:
        """Apply the event that is next, whose effects outside stay; return False when refused."""
        record = failed.records[-1]
        deliveries = self._context.router.route([record])
        if not deliveries or record.position <= self._cursor.stored:
            return True
        async with self._cursor.begin(eager=True) as transaction:
            trial = await self._try_one(transaction, deliveries[0], failed)
            if trial is _Trial.APPLIED:
                await transaction.move(record.position)
        if trial is _Trial.APPLIED:
            self._cursor.moved(record.position, events=1)
        return trial is not _Trial.REFUSED

    async def _try(self, transaction: Transaction, failed: EnvironmentFailedError) -> bool:
        """Return True when one of the events is applied, or fails in another way than before."""
        deliveries = self._context.router.route(failed.records)
        for delivery in deliveries:
            if await self._try_one(transaction, delivery, failed) is not _Trial.REFUSED:
                return True
            if transaction.is_spoilt:
                return False
        # None is wanted any more.
        return not deliveries

    async def _try_one(
        self, transaction: Transaction, delivery: Delivery, failed: EnvironmentFailedError
    ) -> _Trial:
        self._context.tally.beat()
        try:
            await apply_one(transaction, self._context.subscription, delivery)
        except EventFailedError as failure:
            if self._context.store.is_transient(failure.cause):
                raise failure.cause from failure
            is_same = failed.is_met_again(failure.cause)
            return _Trial.REFUSED if is_same else _Trial.FAILED_OTHERWISE
        return _Trial.APPLIED

    async def _list_grants(self, failed: EnvironmentFailedError) -> tuple[str, ...]:
        """Return the statements that give the role its rights to the read model."""
        context = self._context
        if failed.sqlstate != RIGHT_MISSING:
            return ()
        try:
            return tuple(await context.store.list_missing_grants(context.subscription.tables))
        # What it is about is told without them.
        except Exception:  # noqa: BLE001 - the loop meets it next, and tells it
            return ()

    def _describe(self, failed: EnvironmentFailedError) -> str:
        redact = self._context.observer.redact
        return describe_halt(failed.cause, failed.sqlstate, redact, self._grants)
