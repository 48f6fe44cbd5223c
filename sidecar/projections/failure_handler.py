"""Failed events: what is done about each, and what is counted, logged and kept of it."""

import math
import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from sidecar.errors import (
    CheckpointGoneError,
    CheckpointMovedError,
    ProjectionPausedError,
    RebuildStrayedError,
    SidecarError,
    UnknownTypeError,
)
from sidecar.events.record import RecordedEvent
from sidecar.projections.context import PartitionContext
from sidecar.projections.dead_letter import Category, DeadLetter, write_dead_letter
from sidecar.projections.delivery import Batch, EventFailedError
from sidecar.projections.environment_failure import (
    MAX_UNKNOWN_STREAMS,
    EnvironmentFailedError,
    Suspicion,
    find_sqlstate,
)
from sidecar.projections.failure_log import log_failure, log_interruption
from sidecar.projections.interruption import Interruption, explain
from sidecar.projections.observer import Action, LoopTask
from sidecar.projections.ports import Transaction
from sidecar.projections.retry import (
    GaplessPolicy,
    Halt,
    Park,
    Retry,
    RetryPolicy,
    StopBefore,
    delay_seconds,
)


class RebuildHaltedError(Exception):
    """Leaves a transaction because nothing behind the failed event may be applied."""

    def __init__(self, failure: EventFailedError) -> None:
        record, error_type = failure.delivery.record, type(failure.cause).__name__
        place = f"{error_type} at position {record.position} ({record.type}, {record.stream})"
        is_unknown = isinstance(failure.cause, UnknownTypeError)
        super().__init__(f"{place}: {failure.cause}".rstrip(".") if is_unknown else place)
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class StandStillBefore:
    """Keep what was done, and apply nothing behind the event until its environment is mended."""

    failed: EnvironmentFailedError


# These say that the partition cannot go on here or now; they are no event's failure.
NOT_OURS: Final = (
    ProjectionPausedError,
    CheckpointGoneError,
    CheckpointMovedError,
    RebuildStrayedError,
    RebuildHaltedError,
    EnvironmentFailedError,
)


@dataclass(slots=True)
class FailureStreak:
    """Attempts at one event, and events left behind in a row.

    Attributes:
        left: How many were left behind for the same type of error, since one was applied.
    """

    left: int = 0
    _error_type: str = ""
    _position: int = 0
    _attempts: int = 0

    def count_attempt(self, position: int) -> int:
        """Return how often the event at `position` was tried, this time included."""
        self._attempts = self._attempts + 1 if position == self._position else 1
        self._position = position
        return self._attempts

    def failed_last(self, position: int) -> bool:
        """Return True when the event at `position` is the one that failed last."""
        return self._attempts > 0 and position == self._position

    def count_left(self, error_type: str) -> None:
        """Count an event that was left behind: put off, or parked."""
        self.left = self.streak_of(error_type) + 1
        self._error_type = error_type

    def streak_of(self, error_type: str) -> int:
        """Return how many events in a row were left behind for this type of error."""
        return self.left if error_type == self._error_type else 0


class FailureHandler:
    """Decides about the failures of one partition, reports them, and keeps what is left behind.

    Attributes:
        due_mono: Monotonic time at which the next of the events put off is due, as far as this
            process knows.
        reported: How many failures were reported.
    """

    def __init__(self, context: PartitionContext, policy: RetryPolicy | GaplessPolicy) -> None:
        self.due_mono = math.inf
        self.reported = 0
        self._context: Final = context
        self._policy: Final = policy
        self._outages: Final[Counter[LoopTask]] = Counter()
        self._streak: Final = FailureStreak()
        self._suspicion: Final = Suspicion()
        # Effects outside the transaction are not undone by a rollback.
        self._is_outside: Final = not context.subscription.is_repeatable

    def failed_before(self, batch: Batch) -> bool:
        """Return True when the first event of a batch is the one that failed last."""
        return self._streak.failed_last(batch.first_position)

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing that an applied event would change."""
        return not self._suspicion and not self._streak.left

    def succeeded(self, event_type: str) -> None:
        """Record that an event was applied."""
        self._streak.left = 0
        self._suspicion.passed(event_type)

    def recovered(self, work: LoopTask = LoopTask.EVENTS) -> None:
        """Record that the database takes what is done."""
        if self._outages[work]:
            self._outages[work] = 0
            self._context.tally.interruptions.pop(work, None)

    def interrupted(self, error: Exception, work: LoopTask = LoopTask.EVENTS) -> float:
        """Record a transient error; return how many seconds to wait."""
        self._outages[work] += 1
        error_type = type(error).__name__
        tally = self._context.tally
        tally.add_failure(error_type, Action.RETRY)
        before = tally.interruptions.get(work)
        since_at = before.since_at if before else time.time()
        tally.interruptions[work] = Interruption(since_at, error_type, explain(error))
        if self._outages[work] == 1:
            # What PostgreSQL says may hold values; our own messages hold none.
            said = f": {error}".rstrip(".") if isinstance(error, SidecarError) else ""
            reason = f"interrupted by {error_type}{said}"
            log_interruption(self._context.partition, "sidecar.projection.interrupted", reason)
        return delay_seconds(self._outages[work], random.random())

    def can_go_around(self, error: Exception) -> bool:
        """Return True when a batch can go on without the event that failed with this."""
        return self._policy.goes_around and not self._context.store.is_transient(error)

    async def handle(
        self, transaction: Transaction, failure: EventFailedError
    ) -> Retry | Park | StopBefore | StandStillBefore:
        """Decide about a failed event and do it; the caller goes on only after the first two.

        Raises:
            EnvironmentFailedError: No event is to blame, and a rollback undoes all effects.
            RebuildHaltedError: A new copy is not to go on without it.
            Exception: The failure is transient, and a rollback undoes all effects.
        """
        record, error = failure.delivery.record, failure.cause
        if isinstance(error, UnknownTypeError):
            return await self._keep_unknown(transaction, failure)
        if self._context.store.is_transient(error):
            if self._is_outside:
                return StopBefore(self.interrupted(error))
            raise error
        if failed := self._find_environment_failure(record, error):
            return self._stand_still(failed)
        error_type = type(error).__name__
        attempt = self._streak.count_attempt(record.position)
        streak = self._streak.streak_of(error_type)
        decision = self._policy.decide(attempt, streak, random.random())
        self.report(failure, decision.action, attempt)
        match decision:
            case StopBefore():
                return decision
            case Halt():
                raise RebuildHaltedError(failure) from failure
            case Retry() | Park():
                self._streak.count_left(error_type)
                await transaction.park(*self.describe(failure, attempt, decision))
                return decision

    async def _keep_unknown(self, transaction: Transaction, failure: EventFailedError) -> Park:
        """Keep an event for a release that handles its type.

        Raises:
            EnvironmentFailedError: Too many streams wait for such a release.
            RebuildHaltedError: A new copy is not to go on without it.
        """
        decision = Park() if self._policy.goes_around else Halt()
        self.report(failure, decision.action, 1)
        if isinstance(decision, Halt):
            raise RebuildHaltedError(failure) from failure
        # What was done outside for the events before would be repeated.
        if not self._is_outside and await transaction.count_unknown() >= MAX_UNKNOWN_STREAMS:
            error, records = failure.cause, (failure.delivery.record,)
            raise EnvironmentFailedError(error, error, "", records)
        await transaction.park(*self.describe(failure, 1, decision))
        return decision

    def _stand_still(self, failed: EnvironmentFailedError) -> StandStillBefore:
        if not self._is_outside:
            raise failed from failed.cause
        # A rollback would not undo what was done for the events before.
        return StandStillBefore(failed)

    def require_environment(self, record: RecordedEvent, error: Exception) -> None:
        """Halt a retry once so many streams failed alike, as the loop does for its events.

        Raises:
            EnvironmentFailedError: No event is to blame, and a rollback undoes all effects.
        """
        if self._is_outside:
            # A rollback would not undo what was done for the events before.
            return
        if failed := self._find_environment_failure(record, error):
            raise failed from failed.cause

    def _find_environment_failure(
        self, record: RecordedEvent, error: Exception
    ) -> EnvironmentFailedError | None:
        """Return why nothing can be applied, once so many streams failed alike."""
        found = find_sqlstate(error)
        # A rebuild halts at any event.
        if found is None or not self._policy.goes_around:
            return None
        sqlstate, cause = found
        records = self._suspicion.add(sqlstate, record)
        if not records:
            return None
        self._suspicion.clear()
        self._streak.left = 0
        return EnvironmentFailedError(error, cause, sqlstate, records)

    def describe(
        self, failure: EventFailedError, attempts: int, decision: Retry | Park
    ) -> tuple[DeadLetter, float | None]:
        """Return what is kept of a failed event, and in how many seconds it is due, if ever."""
        observer = self._context.observer
        dead_letter = write_dead_letter(
            failure.delivery.record, failure.cause, attempts, observer.trace_id(), observer.redact
        )
        match decision:
            case Retry(after_seconds):
                self.due_mono = min(self.due_mono, time.monotonic() + after_seconds)
                return replace(dead_letter, category=Category.RETRY), after_seconds
            case Park() if dead_letter.category is Category.UNKNOWN_TYPE:
                return dead_letter, None
            case Park():
                return dead_letter, self._context.policy.park_delay_seconds(attempts)

    def report(self, failure: EventFailedError, action: Action, attempt: int) -> None:
        """Count, log and trace a failed event."""
        record, error = failure.delivery.record, failure.cause
        self.reported += 1
        self._context.tally.add_failure(type(error).__name__, action)
        self._context.observer.event_failed(record, error, action, attempt)
        log_failure(self._context.partition, record, error, action, attempt)
