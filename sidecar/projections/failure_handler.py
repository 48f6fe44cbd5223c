"""Containing what fails: put it off, or park its stream, and let the rest go on."""

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from sidecar.errors import (
    CheckpointGoneError,
    CheckpointMovedError,
    ProjectionPausedError,
    RebuildStrayedError,
    SidecarError,
)
from sidecar.events.record import RecordedEvent
from sidecar.projections.dead_letter import Category, DeadLetter, write_dead_letter
from sidecar.projections.delivery import Batch, EventFailedError
from sidecar.projections.environment_failure import Suspicion, find_sqlstate
from sidecar.projections.failure_log import log_failure, log_interruption, log_parked
from sidecar.projections.observer import Action, RunnerObserver, RunnerTally
from sidecar.projections.ports import OpenDeadLetter, ProjectionStore, Transaction
from sidecar.projections.projection import Partition, Subscription
from sidecar.projections.retry import Park, Retry, RetryPolicy, delay_seconds


class HaltError(Exception):
    """Leaves a transaction because nothing behind the failed event may be applied."""


class EnvironmentFailedError(HaltError):
    """Leaves a transaction because nothing can be applied, whatever the event.

    Attributes:
        error_type: Of what the handler raised, as dead letters tell it.
        cause: PostgreSQL's error in it.
        sqlstate: Its SQLSTATE.
        records: The events that failed with it, of a stream each.
    """

    def __init__(
        self,
        error: BaseException,
        cause: BaseException,
        sqlstate: str,
        records: Sequence[RecordedEvent],
    ) -> None:
        super().__init__(sqlstate)
        self.error_type = type(error).__name__
        self.cause = cause
        self.sqlstate = sqlstate
        self.records = records


# What says that the partition is not ours to go on with; no event's failure.
NOT_OURS: Final = (
    ProjectionPausedError,
    CheckpointGoneError,
    CheckpointMovedError,
    RebuildStrayedError,
    HaltError,
)


@dataclass(slots=True)
class FailureStreak:
    """Attempts at one event, events left behind in a row, outages in a row.

    Attributes:
        outages: Failures in a row that pass by themselves.
    """

    outages: int = 0
    _position: int = 0
    _attempts: int = 0
    _streak_type: str = ""
    _streak: int = 0

    def count_attempt(self, position: int) -> int:
        """Return how often the event at `position` was tried, this time included."""
        self._attempts = self._attempts + 1 if position == self._position else 1
        self._position = position
        return self._attempts

    def suspects(self, position: int) -> bool:
        """Tell whether the event at `position` is the one that failed last."""
        return self._attempts > 0 and position == self._position

    def count_left(self, error_type: str) -> None:
        """Take note that an event was left behind: put off, or parked."""
        self._streak = self.streak_of(error_type) + 1
        self._streak_type = error_type

    def streak_of(self, error_type: str) -> int:
        """Return how many events in a row were left behind for this type of error."""
        return self._streak if error_type == self._streak_type else 0

    @property
    def has_streak(self) -> bool:
        """Whether events were left behind since the last one that was applied."""
        return self._streak > 0

    def clear_streak(self) -> None:
        """Take note that an event succeeded."""
        self._streak = 0


class FailureHandler:
    """Judges the failures of one partition, tells them, and keeps what is given up.

    Attributes:
        batch: The observer's token of the batch under way.
        retry_after_seconds: Tells, by attempt, when a parked stream is tried again by itself.
        due_mono: Monotonic time at which the next of the events put off is due, as far as this
            process knows.

    Args:
        subscription: Whose events fail.
        partition: Which part of it.
        desk: Knows which errors pass by themselves.
        observer: Hears of failures.
        policy: Bounds on trying again.
        tally: Where they are counted.
    """

    giving_up: ClassVar[Action] = Action.PARK
    puts_off: ClassVar[bool] = True

    def __init__(
        self,
        subscription: Subscription,
        partition: Partition,
        *,
        store: ProjectionStore,
        observer: RunnerObserver,
        policy: RetryPolicy,
        tally: RunnerTally,
    ) -> None:
        self.batch: object = None
        self.due_mono = math.inf
        self._partition: Final = partition
        self._store: Final = store
        self._observer: Final = observer
        self._policy: Final = policy
        self.retry_after_seconds: Final = policy.retry_after_seconds
        self._tally: Final = tally
        self._streak: Final = FailureStreak()
        self._suspicion: Final = Suspicion()
        # Effects outside the transaction are not undone by a rollback.
        self._is_outside: Final = not subscription.subscriber.wants_connection

    def begin(self, records: Sequence[RecordedEvent]) -> int:
        """Tell that a batch begins; return what to hand to `end`."""
        self.batch = self._observer.batch_started(self._partition.projection, records)
        return self._tally.applied

    def end(self, applied_before: int) -> None:
        """Tell that the batch ended."""
        self._observer.batch_finished(self.batch, self._tally.applied - applied_before)

    def is_suspect(self, batch: Batch) -> bool:
        """Tell whether the first of its events failed just before."""
        return self._streak.suspects(batch.first_position)

    @property
    def is_calm(self) -> bool:
        """Whether nothing failed that the next event applied would put into another light."""
        return self._suspicion.is_empty and not self._streak.has_streak

    def succeeded(self, event_type: str) -> None:
        """Take note that an event was applied."""
        self._streak.clear_streak()
        self._suspicion.passed(event_type)

    def _look_around(self, record: RecordedEvent, error: Exception) -> None:
        """Leave the transaction once so many streams failed alike that no event is to blame.

        Raises:
            EnvironmentFailedError: They did.
        """
        found = find_sqlstate(error)
        # A rebuild halts at any event, and what is done outside would be repeated by a rollback.
        if found is None or self._is_outside or not self.puts_off:
            return
        sqlstate, cause = found
        records = self._suspicion.add(sqlstate, record)
        if records:
            self._suspicion.clear()
            self._streak.clear_streak()
            raise EnvironmentFailedError(error, cause, sqlstate, records)

    def recovered(self) -> None:
        """Take note that the database takes what is done."""
        self._streak.outages = 0

    def interrupted(self, error: Exception) -> float:
        """Take note of an error that passes by itself; return how many seconds to wait."""
        self._streak.outages += 1
        error_type = type(error).__name__
        self._tally.add_failure(error_type, Action.RETRY)
        if self._streak.outages == 1:
            # What PostgreSQL says may hold values; what we say holds none.
            said = f": {error}".rstrip(".") if isinstance(error, SidecarError) else ""
            reason = f"interrupted by {error_type}{said}"
            log_interruption(self._partition, "sidecar.projection.interrupted", reason)
        return delay_seconds(self._streak.outages, random.random())

    def goes_around(self, error: Exception) -> bool:
        """Tell whether a batch can go on without the event that failed with this."""
        return self.puts_off and not self._store.is_transient(error)

    async def judge(self, transaction: Transaction, failure: EventFailedError) -> Retry | Action:
        """Decide about a failed event: stop before it, put it off, or give it up.

        Raises:
            Exception: What passes by itself, where a rollback undoes all effects.
        """
        record, error = failure.delivery.record, failure.cause
        if self._store.is_transient(error):
            if self._is_outside:
                return Retry(self.interrupted(error))
            raise error
        self._look_around(record, error)
        error_type = type(error).__name__
        attempt = self._streak.count_attempt(record.position)
        decision = self._policy.decide(attempt, self._streak.streak_of(error_type), random.random())
        if isinstance(decision, Retry):
            self.tell(failure, Action.RETRY, attempt)
            if not self.puts_off:
                return decision
            self._streak.count_left(error_type)
            await self._put_off(transaction, failure, attempt, decision.after_seconds)
            return Action.RETRY
        self.tell(failure, self.giving_up, attempt)
        self._streak.count_left(error_type)
        await self.give_up(transaction, failure, attempt)
        return self.giving_up

    async def _put_off(
        self,
        transaction: Transaction,
        failure: EventFailedError,
        attempt: int,
        after_seconds: float,
    ) -> None:
        """Let the event's stream alone wait for the next try."""
        letter = replace(self.describe(failure, attempt), category=Category.RETRY)
        await transaction.park(letter, after_seconds)
        self.expect(after_seconds)

    async def give_up(
        self, transaction: Transaction, failure: EventFailedError, attempt: int
    ) -> None:
        """Park the event's stream."""
        letter = self.describe(failure, attempt)
        await transaction.park(letter, self.retry_after_seconds(attempt))

    async def judge_again(
        self, transaction: Transaction, letter: OpenDeadLetter, failure: EventFailedError
    ) -> tuple[int, Action]:
        """Decide about an event of a stream that was taken up.

        Returns:
            How often it was tried, and what was done about it.
        """
        record = failure.delivery.record
        attempts = letter.attempts + 1 if record.version == letter.version else 1
        again = self.describe(failure, attempts)
        decision = (
            self._policy.decide(attempts, 0, random.random()) if letter.is_waiting else Park()
        )
        if isinstance(decision, Retry):
            again = replace(again, category=Category.RETRY)
            await transaction.fail_again(letter, again, decision.after_seconds)
            self.expect(decision.after_seconds)
            return attempts, Action.RETRY
        await transaction.fail_again(letter, again, self.retry_after_seconds(attempts))
        return attempts, Action.PARK

    def expect(self, after_seconds: float) -> None:
        """Take note that something is to be tried again after a while."""
        self.due_mono = min(self.due_mono, time.monotonic() + after_seconds)

    def tell_parked(self, records: Sequence[RecordedEvent]) -> None:
        """Log what was parked, once that is committed."""
        if records:
            log_parked(self._partition, records)

    def describe(self, failure: EventFailedError, attempts: int) -> DeadLetter:
        """Write a dead letter about a failed event."""
        return write_dead_letter(
            failure.delivery.record,
            failure.cause,
            attempts,
            self._observer.trace_id(),
            self._observer.redact,
        )

    def tell(self, failure: EventFailedError, action: Action, attempt: int) -> None:
        """Count, log and trace a failed event."""
        record, error = failure.delivery.record, failure.cause
        self._tally.add_failure(type(error).__name__, action)
        self._observer.event_failed(self.batch, record, error, action, attempt)
        log_failure(self._partition, record, error, action, attempt)
