"""Retrying dead letters: the events of a parked stream in order, from the one that failed."""

import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from sidecar.errors import UnknownTypeError
from sidecar.events.record import RecordedEvent
from sidecar.projections.context import BATCH_SECONDS, PartitionContext
from sidecar.projections.cursor import Cursor
from sidecar.projections.delivery import Delivery, EventFailedError
from sidecar.projections.failure_handler import NOT_OURS, FailureHandler
from sidecar.projections.failure_log import log_erased, log_parked, log_resumed
from sidecar.projections.observer import LoopTask
from sidecar.projections.one_by_one import apply_one
from sidecar.projections.ports import OpenDeadLetter, Transaction
from sidecar.projections.retry import Park, Retry

# At most so many events of a stream per transaction; what is left keeps its dead letter, so that a
# crash resumes there.
RETRY_EVENTS: Final = 500
LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one dead letter in one transaction, and how many events were applied."""

    letter: OpenDeadLetter
    events: int


@dataclass(frozen=True, slots=True)
class Advanced(_Outcome):
    """The dead letter stands for the next event of its stream, and is still due."""

    is_erased: bool
    """Whether the event that it stood for is no longer in the log."""


@dataclass(frozen=True, slots=True)
class Resolved(_Outcome):
    """Nothing of the stream is left to retry: it is no longer parked."""

    is_erased: bool


@dataclass(frozen=True, slots=True)
class FailedAgain(_Outcome):
    """The event of the dead letter, or a later one of its stream, failed; it is kept for that."""

    failure: EventFailedError
    decision: Retry | Park


@dataclass(frozen=True, slots=True)
class Interrupted(_Outcome):
    """A transient error stopped the retry; the dead letter is still due."""

    cause: Exception


RetryOutcome = Advanced | Resolved | FailedAgain | Interrupted


class DeadLetterRetrier:
    """Looks for dead letters of one partition that are due, and retries them.

    Attributes:
        goes_on: Whether there may be more to retry at once.
    """

    def __init__(self, context: PartitionContext, cursor: Cursor, failures: FailureHandler) -> None:
        self.goes_on = False
        self._context: Final = context
        self._cursor: Final = cursor
        self._failures: Final = failures
        # After a crash no more events are handled again than the loop would.
        self._limit: Final = min(context.subscription.chunk_events, RETRY_EVENTS)
        self._applied: Final[Counter[int]] = Counter()
        self._look_mono = 0.0
        self._rest_mono = 0.0

    @property
    def look_in_seconds(self) -> float:
        """After how long to look next."""
        return max(self._next_look_mono - time.monotonic(), 0.0)

    @property
    def _next_look_mono(self) -> float:
        return max(min(self._look_mono, self._failures.due_mono), self._rest_mono)

    async def retry_next(self) -> None:
        """Retry the dead letter that has been due longest, in one transaction, if one is due.

        A transient error is recorded; the dead letter stays due.

        Raises:
            CheckpointMovedError: The checkpoint is not where the cursor is.
            EnvironmentFailedError: No event is to blame.
        """
        try:
            if await self._has_due():
                with ExitStack() as span:
                    await self._retry_one(span)
                self._context.tally.beat()
        except Exception as error:
            if not self._context.store.is_transient(error):
                raise
            self._put_off(error)

    async def _has_due(self) -> bool:
        """Return True when any is due; looks once a second, or when one is expected."""
        now_mono = time.monotonic()
        if self.goes_on or now_mono < self._next_look_mono:
            return self.goes_on
        self._look_mono = now_mono + LOOK_SECONDS
        self._failures.due_mono = math.inf
        has_due = await self._context.store.has_due_dead_letters(
            self._context.partition, self._cursor.stored
        )
        if not has_due:
            self._failures.recovered(LoopTask.DEAD_LETTERS)
        return has_due

    def _put_off(self, error: Exception) -> None:
        """Look again after a while that grows from one transient error to the next."""
        self.goes_on = False
        delay = self._failures.interrupted(error, LoopTask.DEAD_LETTERS)
        self._look_mono = self._rest_mono = time.monotonic() + delay

    async def _retry_one(self, span: ExitStack) -> None:
        outcome = await self._begin(span, self._limit)
        self.goes_on = outcome is not None
        if outcome is not None:
            self._cursor.applied(outcome.events)
            self._applied[outcome.letter.id] += outcome.events
            self._report(outcome)

    async def _begin(
        self, span: ExitStack, limit: int, blamed: Exception | None = None
    ) -> RetryOutcome | None:
        """Retry in one transaction, whose end may fail for an event as well.

        It holds the checkpoint, so that no event of the stream slips between the last one applied
        here and the first one that the loop applies.

        Args:
            span: Holds the observation of the batch, from when its events are known to the commit.
            limit: At most so many events.
            blamed: Why the first of them failed already.
        """
        try:
            async with self._cursor.begin(eager=True) as transaction:
                return await self._retry(transaction, span, limit, blamed)
        except NOT_OURS:
            raise
        except Exception as error:
            cause = error.cause if isinstance(error, EventFailedError) else error
            is_repeatable = self._context.subscription.is_repeatable
            if self._context.store.is_transient(cause) or not is_repeatable or blamed:
                raise cause from error
            span.close()
            return await self._begin(span, 1, cause if limit == 1 else None)

    async def _retry(
        self, transaction: Transaction, span: ExitStack, limit: int, blamed: Exception | None
    ) -> RetryOutcome | None:
        letter = await transaction.take_due_dead_letter()
        if letter is None:
            return None
        # What lies above the checkpoint comes to the loop anyway.
        records = await transaction.queued_events(
            letter.stream, letter.version, self._cursor.stored, limit
        )
        is_erased = not records or records[0].position != letter.position
        if is_erased:
            records = await transaction.events_left(letter, self._cursor.stored, limit)
        projection = self._context.partition.projection
        span.enter_context(self._context.observer.batch(projection, records))
        return await self._apply(transaction, letter, records, blamed, is_erased=is_erased)

    async def _apply(
        self,
        transaction: Transaction,
        letter: OpenDeadLetter,
        records: Sequence[RecordedEvent],
        blamed: Exception | None,
        *,
        is_erased: bool,
    ) -> RetryOutcome:
        """Apply events up to the first that fails, or until the transaction has lasted enough.

        Raises:
            EventFailedError: It spoilt the transaction.
        """
        ends_mono = time.monotonic() + BATCH_SECONDS
        events, upto_version = 0, records[-1].version if records else letter.version
        for delivery in self._route(records, blamed):
            try:
                await apply_one(transaction, self._context.subscription, delivery)
            except EventFailedError as failure:
                if transaction.is_spoilt:
                    raise
                before = failure.delivery.record.version - 1
                await self._settle(transaction, letter, records, before)
                return await self._stop_at(transaction, letter, events, failure)
            events += 1
            if time.monotonic() > ends_mono:
                upto_version = delivery.record.version
                break
        await self._settle(transaction, letter, records, upto_version)
        rest = await transaction.queued_events(
            letter.stream, upto_version + 1, self._cursor.stored, 1
        )
        if rest:
            await transaction.advance(letter, rest[0])
            return Advanced(letter, events, is_erased)
        await transaction.resolve(letter, is_erased=is_erased)
        return Resolved(letter, events, is_erased)

    async def _settle(
        self,
        transaction: Transaction,
        letter: OpenDeadLetter,
        records: Sequence[RecordedEvent],
        upto_version: int,
    ) -> None:
        """Keep what became of the events of a stream that waited, up to a version."""
        passed = [record for record in records if record.version <= upto_version]
        left_out = self._context.router.find_unhandled(passed)
        taken_up = [record for record in passed if record not in left_out]
        if taken_up or left_out:
            await transaction.settle_waiting(letter.stream, taken_up, left_out)

    def _route(self, records: Sequence[RecordedEvent], blamed: Exception | None) -> list[Delivery]:
        deliveries = self._context.router.route(records)
        if blamed is not None and deliveries:
            deliveries[0] = Delivery(deliveries[0].record, None, blamed)
        return deliveries

    async def _stop_at(
        self,
        transaction: Transaction,
        letter: OpenDeadLetter,
        events: int,
        failure: EventFailedError,
    ) -> Interrupted | FailedAgain:
        """Keep a dead letter at the event that failed now; a transient failure leaves it due."""
        record, is_repeatable = failure.delivery.record, self._context.subscription.is_repeatable
        is_same = record.position == letter.position
        if self._context.store.is_transient(failure.cause):
            if is_repeatable:
                raise failure.cause
            # A rollback would not undo what was done outside for the events before; it would repeat
            # it.
            if not is_same:
                await transaction.advance(letter, record)
            return Interrupted(letter, events, failure.cause)
        # What it met before may well be its own; a table that is away now is none's.
        if not letter.is_waiting and letter.error_type != type(failure.cause).__name__:
            self._failures.require_environment(record, failure.cause)
        attempts = letter.attempts + 1 if is_same else 1
        decision: Retry | Park = Park()
        if letter.is_waiting and not isinstance(failure.cause, UnknownTypeError):
            decision = self._context.policy.decide(attempts, 0, random.random())
        # Before the commit, as the loop does: a crash must leave no dead letter without a line.
        self._failures.report(failure, decision.action, attempts)
        kept = self._failures.describe(failure, attempts, decision)
        await transaction.fail_again(letter, *kept)
        return FailedAgain(letter, events, failure, decision)

    def _report(self, outcome: RetryOutcome) -> None:
        """Log what was committed.

        Raises:
            Exception: The transient error that stopped it.
        """
        if isinstance(outcome, Interrupted):
            raise outcome.cause
        self._failures.recovered(LoopTask.DEAD_LETTERS)
        partition, letter = self._context.partition, outcome.letter
        match outcome:
            case FailedAgain(failure=failure, decision=decision):
                del self._applied[letter.id]
                if letter.is_waiting and isinstance(decision, Park):
                    log_parked(partition, [failure.delivery.record])
            case Resolved() | Advanced():
                if outcome.is_erased:
                    log_erased(partition, letter.stream, letter.version)
                if isinstance(outcome, Resolved):
                    log_resumed(partition, letter.stream, self._applied.pop(letter.id))
