"""Standing still while nothing can be applied, and going on by itself when that is over."""

import random
from collections.abc import Callable
from typing import Final, NoReturn

from sidecar.projections.cursor import Cursor
from sidecar.projections.delivery import EventFailedError
from sidecar.projections.environment_failure import describe_halt, has_sqlstate
from sidecar.projections.failure_handler import EnvironmentFailedError, HaltError
from sidecar.projections.failure_log import log_halted, log_relieved
from sidecar.projections.observer import Action, RunnerTally
from sidecar.projections.ports import ProjectionStore, Transaction
from sidecar.projections.projection import Subscription
from sidecar.projections.retry import delay_seconds
from sidecar.projections.route import Router
from sidecar.projections.transaction import apply_one

# However long it lasts, its end is noticed within about this time.
MAX_LOOK_SECONDS: Final = 5.0


class _LookedError(HaltError):
    """Rolls back what was written only to see whether it can be."""

    def __init__(self, *, is_over: bool) -> None:
        super().__init__()
        self.is_over = is_over


class Standstill:
    """Keeps one partition where it is while PostgreSQL refuses its events, whichever they are.

    Args:
        subscription: Whose events.
        desk: Where it is told, and knows which errors pass by themselves.
        cursor: Where transactions are opened.
        router: Decodes events.
        redact: Masks secrets.
        tally: Where it is counted.
    """

    def __init__(
        self,
        subscription: Subscription,
        *,
        store: ProjectionStore,
        cursor: Cursor,
        router: Router,
        redact: Callable[[str], str],
        tally: RunnerTally,
    ) -> None:
        self._subscription: Final = subscription
        self._store: Final = store
        self._cursor: Final = cursor
        self._router: Final = router
        self._redact: Final = redact
        self._tally: Final = tally
        self._failed: EnvironmentFailedError | None = None
        self._looks = 0

    @property
    def is_on(self) -> bool:
        """Whether it stands still."""
        return self._failed is not None

    def begin(self, failed: EnvironmentFailedError) -> None:
        """Stand still from here on."""
        self._failed, self._looks = failed, 0
        self._cursor.is_halted = True
        self._tally.add_failure(failed.error_type, Action.HALT)
        log_halted(self._cursor.partition, self._describe(failed), failed.cause)

    def drop(self) -> None:
        """Stand still no more."""
        self._failed = None
        self._cursor.is_halted = False

    async def tell(self) -> None:
        """Mark the checkpoint, again if somebody resumed it meanwhile."""
        if self._failed is not None:
            reason = self._describe(self._failed)
            await self._store.stand_still(self._cursor.partition, reason, self._failed.error_type)

    def next_delay_seconds(self) -> float:
        """Return how long to wait before the next look; grows from one to the next."""
        self._looks += 1
        return min(delay_seconds(self._looks, random.random()), MAX_LOOK_SECONDS)

    async def look_again(self) -> None:
        """Go on if any of the events is refused no more; nothing is kept of the trial.

        Raises:
            ProjectionPausedError: Somebody paused the projection; it stands still on.
            Exception: What passes by itself.
        """
        if self._failed is None or not await self._is_over(self._failed):
            return
        await self._store.go_on(self._cursor.partition)
        self.drop()
        log_relieved(self._cursor.partition)

    async def _is_over(self, failed: EnvironmentFailedError) -> bool:
        try:
            async with self._cursor.begin(eager=True) as transaction:
                await self._look(transaction, failed)
        except _LookedError as looked:
            return looked.is_over

    async def _look(self, transaction: Transaction, failed: EnvironmentFailedError) -> NoReturn:
        raise _LookedError(is_over=await self._try(transaction, failed))

    async def _try(self, transaction: Transaction, failed: EnvironmentFailedError) -> bool:
        """Tell whether one of the events is applied, or fails in another way than before."""
        deliveries = self._router.route(failed.records)
        for delivery in deliveries:
            self._tally.beat()
            try:
                await apply_one(transaction, self._subscription, delivery)
            except EventFailedError as failure:
                if self._store.is_transient(failure.cause):
                    raise failure.cause from failure
                if not has_sqlstate(failure.cause, failed.sqlstate):
                    return True
                if transaction.is_spoilt:
                    return False
            else:
                return True
        # None is wanted any more.
        return not deliveries

    def _describe(self, failed: EnvironmentFailedError) -> str:
        return describe_halt(failed.cause, failed.sqlstate, self._redact)
