"""Taking a parked stream up again: its events in order, from the one that failed."""

import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.events.record import RecordedEvent
from sidecar.projections.cursor import Cursor
from sidecar.projections.delivery import Delivery, EventFailedError
from sidecar.projections.failure_handler import NOT_OURS, FailureHandler
from sidecar.projections.failure_log import log_erased, log_resumed
from sidecar.projections.observer import Action
from sidecar.projections.ports import OpenDeadLetter, ProjectionStore, Transaction
from sidecar.projections.projection import Partition, Subscription
from sidecar.projections.retry import delay_seconds
from sidecar.projections.route import Router
from sidecar.projections.transaction import BATCH_SECONDS, apply_one

# At most so many events of a stream per transaction; what is left keeps its letter, so that a crash
# resumes there.
RETRY_EVENTS: Final = 500
LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class RetryOutcome:
    """What became of one letter in one transaction.

    Attributes:
        events: Events applied.
        failure: The event that failed again, or a later one of its stream.
        attempts: How often that event was tried.
        action: What was done about it.
        interruption: What stopped it and passes by itself, so that the letter stays due.
        is_resolved: Whether its stream is no longer parked.
        is_erased: Whether its event is no longer in the log.
    """

    letter: OpenDeadLetter
    events: int
    failure: EventFailedError | None = None
    attempts: int = 0
    action: Action = Action.PARK
    interruption: Exception | None = None
    is_resolved: bool = False
    is_erased: bool = False


@dataclass(slots=True)
class Lot:
    """How far one transaction came in a stream.

    Attributes:
        upto_version: Everything up to here is applied or not handled.
        events: How many were applied.
        is_erased: Whether the event that the letter stands for is no longer in the log.
    """

    upto_version: int
    events: int = 0
    is_erased: bool = False
    failure: EventFailedError | None = None


class DeadLetterRetrier:
    """Looks for dead letters of one partition whose time has come, and takes them up.

    Attributes:
        goes_on: Whether there may be more to take up at once.

    Args:
        subscription: Whose letters.
        partition: Which part of them.
        desk: Knows of letters, and which errors pass by themselves.
        cursor: Where transactions are opened, and events counted.
        router: Decodes events.
        failures: Tells what fails again.
    """

    def __init__(
        self,
        subscription: Subscription,
        partition: Partition,
        *,
        store: ProjectionStore,
        cursor: Cursor,
        router: Router,
        failures: FailureHandler,
    ) -> None:
        self._subscription: Final = subscription
        self._partition: Final = partition
        self._store: Final = store
        self._cursor: Final = cursor
        self._router: Final = router
        self._failures: Final = failures
        # After a crash no more events are handled again than the loop would.
        self._lot_events: Final = min(subscription.chunk_events, RETRY_EVENTS)
        self._applied: Final[Counter[int]] = Counter()
        self._interruptions = 0
        # What `begin` returned, while a batch is under way.
        self._applied_before: int | None = None
        self._look_mono = 0.0
        self._rest_mono = 0.0
        self.goes_on = False

    @property
    def look_in_seconds(self) -> float:
        """After how long to look next."""
        return max(self._next_look_mono - time.monotonic(), 0.0)

    @property
    def _next_look_mono(self) -> float:
        return max(min(self._look_mono, self._failures.due_mono), self._rest_mono)

    async def are_due(self) -> bool:
        """Tell whether there are any; looks once a second, or when one is expected.

        Raises:
            CheckpointMovedError: The checkpoint is not where the cursor is.
        """
        now_mono = time.monotonic()
        if self.goes_on or now_mono < self._next_look_mono:
            return self.goes_on
        self._look_mono = now_mono + LOOK_SECONDS
        self._failures.due_mono = math.inf
        return await self._store.has_due_dead_letters(self._partition, self._cursor.stored)

    def interrupted(self, error: Exception) -> None:
        """Take note of what passes by itself, and look again after a while that grows."""
        self.goes_on = False
        self._interruptions += 1
        self._failures.interrupted(error)
        delay = delay_seconds(self._interruptions, random.random())
        self._look_mono = self._rest_mono = time.monotonic() + delay

    async def take_up(self) -> None:
        """Take up the letter that is due next, if there is one, in one transaction.

        It holds the checkpoint, so that no event of the stream slips between the last one applied
        here and the first one that the loop applies.

        Raises:
            Exception: What passes by itself; the letter stays due.
        """
        try:
            outcome = await self._take(self._lot_events)
            self.goes_on = outcome is not None
            if outcome is None:
                return
            self._cursor.applied(outcome.events)
            self._tell(outcome)
            if outcome.interruption is not None:
                raise outcome.interruption
        finally:
            self._end_batch()

    def _begin_batch(self, records: Sequence[RecordedEvent]) -> None:
        """Tell of a batch once it is known what is in it."""
        self._end_batch()
        self._applied_before = self._failures.begin(records)

    def _end_batch(self) -> None:
        if self._applied_before is not None:
            self._failures.end(self._applied_before)
            self._applied_before = None

    async def _take(self, limit: int, blamed: Exception | None = None) -> RetryOutcome | None:
        """Take a letter up in one transaction, whose end may fail for an event as well.

        Args:
            limit: At most so many events.
            blamed: Why the first of them failed already.
        """
        try:
            async with self._cursor.begin(eager=True) as transaction:
                # What lies above the checkpoint comes to the loop by itself.
                return await self._retry(transaction, self._cursor.stored, limit, blamed)
        except NOT_OURS:
            raise
        except Exception as error:
            cause = error.cause if isinstance(error, EventFailedError) else error
            if self._store.is_transient(cause) or not self._subscription.is_repeatable or blamed:
                raise cause from error
            return await self._take(1, cause if limit == 1 else None)

    async def _retry(
        self, transaction: Transaction, upto_position: int, limit: int, blamed: Exception | None
    ) -> RetryOutcome | None:
        letter = await transaction.take_due_dead_letter()
        if letter is None:
            return None
        records = await transaction.queued_events(
            letter.stream, letter.version, upto_position, limit
        )
        self._begin_batch(records)
        lot = Lot(records[-1].version if records else letter.version)
        lot.is_erased = not records or records[0].version != letter.version
        await self._apply(transaction, records, lot, blamed)
        failure = lot.failure
        if failure is None:
            is_resolved = await self._go_on(transaction, letter, lot, upto_position)
            return RetryOutcome(
                letter, lot.events, is_resolved=is_resolved, is_erased=lot.is_erased
            )
        if self._store.is_transient(failure.cause):
            await self._stop_before(transaction, letter, failure)
            return RetryOutcome(letter, lot.events, interruption=failure.cause)
        attempts, action = await self._failures.judge_again(transaction, letter, failure)
        return RetryOutcome(letter, lot.events, failure, attempts, action)

    async def _apply(
        self,
        transaction: Transaction,
        records: Sequence[RecordedEvent],
        lot: Lot,
        blamed: Exception | None,
    ) -> None:
        """Apply events up to the first that fails, or until the transaction has lasted enough.

        Raises:
            EventFailedError: It spoilt the transaction.
        """
        ends_mono = time.monotonic() + BATCH_SECONDS
        deliveries = self._router.route(records)
        if blamed is not None and deliveries:
            deliveries[0] = Delivery(deliveries[0].record, None, blamed)
        for delivery in deliveries:
            try:
                await apply_one(transaction, self._subscription, delivery)
            except EventFailedError as failure:
                if transaction.is_spoilt:
                    raise
                lot.failure = failure
                return
            lot.events += 1
            if time.monotonic() > ends_mono:
                lot.upto_version = delivery.record.version
                return

    async def _go_on(
        self, transaction: Transaction, letter: OpenDeadLetter, lot: Lot, upto_position: int
    ) -> bool:
        """Let a letter stand for what is left of its stream, or resolve it; tell which."""
        from_version = lot.upto_version + 1
        rest = await transaction.queued_events(letter.stream, from_version, upto_position, 1)
        if rest:
            await transaction.advance(letter, rest[0])
        else:
            await transaction.resolve(letter, is_erased=lot.is_erased)
        return not rest

    async def _stop_before(
        self, transaction: Transaction, letter: OpenDeadLetter, failure: EventFailedError
    ) -> None:
        """Keep a letter due at an event whose failure passes by itself."""
        if self._subscription.is_repeatable:
            raise failure.cause
        # A rollback would not undo what was done outside for the events before; it would repeat it.
        record = failure.delivery.record
        if record.version != letter.version:
            await transaction.advance(letter, record)

    def _tell(self, outcome: RetryOutcome) -> None:
        letter = outcome.letter
        self._applied[letter.id] += outcome.events
        if outcome.interruption is None:
            self._interruptions = 0
        if outcome.is_erased:
            log_erased(self._partition, letter.stream, letter.version)
        if outcome.is_resolved:
            log_resumed(self._partition, letter.stream, self._applied.pop(letter.id))
        elif outcome.failure is not None:
            del self._applied[letter.id]
            self._failures.tell(outcome.failure, outcome.action, outcome.attempts)
            if letter.is_waiting and outcome.action is Action.PARK:
                self._failures.tell_parked([outcome.failure.delivery.record])
