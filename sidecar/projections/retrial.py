"""Taking a parked stream up again: its events in order, from the one that failed."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.events.record import RecordedEvent
from sidecar.projections.application import EventFailedError, apply_one
from sidecar.projections.containment import Containment
from sidecar.projections.log import log_resumed
from sidecar.projections.observer import Action, RunnerTally
from sidecar.projections.projection import Partition, Subscription
from sidecar.projections.route import Router
from sidecar.projections.work import Desk, OpenLetter, Work

# At most so many events of a stream per transaction; what is left keeps its letter, so that a crash
# resumes there.
RETRIAL_EVENTS: Final = 500
LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Retrial:
    """What became of one letter in one transaction.

    Attributes:
        events: Events applied.
        failure: The event that failed again, or a later one of its stream.
        attempts: How often that event was tried.
        interruption: What stopped it and passes by itself, so that the letter stays due.
        is_resolved: Whether its stream is no longer parked.
    """

    letter: OpenLetter
    events: int
    failure: EventFailedError | None = None
    attempts: int = 0
    interruption: Exception | None = None
    is_resolved: bool = False


class Retrials:
    """Looks for dead letters of one partition whose time has come, and takes them up.

    Args:
        subscription: Whose letters.
        partition: Which part of them.
        desk: Where transactions are opened.
        router: Decodes events.
        containment: Tells what fails again.
    """

    def __init__(
        self,
        subscription: Subscription,
        partition: Partition,
        *,
        desk: Desk,
        router: Router,
        containment: Containment,
    ) -> None:
        self._subscription: Final = subscription
        self._partition: Final = partition
        self._desk: Final = desk
        self._router: Final = router
        self._containment: Final = containment
        # After a crash no more events are handled again than the loop would.
        self._lot_events: Final = min(subscription.chunk_events, RETRIAL_EVENTS)
        self._applied: Final[Counter[int]] = Counter()
        self._looked_mono = 0.0

    async def are_due(self) -> bool:
        """Tell whether there are any; looks once a second."""
        now_mono = time.monotonic()
        if now_mono - self._looked_mono < LOOK_SECONDS:
            return False
        self._looked_mono = now_mono
        return await self._desk.has_due_letters(self._partition)

    async def take_up(self, position: int, tally: RunnerTally) -> bool:
        """Take up the letter that is due next, in one transaction; False when none is.

        It holds the checkpoint, so that no event of the stream slips between the last one applied
        here and the first one that the loop applies.

        Args:
            position: The checkpoint, where the transaction is opened; what lies above it comes to
                the loop by itself.
            tally: Where events are counted.

        Raises:
            Exception: What passes by itself; the letter stays due.
        """
        before = self._containment.begin([])
        try:
            repeatable = self._subscription.is_repeatable
            async with self._desk.begin(
                self._partition, position, eager=True, repeatable=repeatable
            ) as work:
                retrial = await self._retry(work, position)
            if retrial is None:
                return False
            tally.applied += retrial.events
            self._tell(retrial)
            if retrial.interruption is not None:
                raise retrial.interruption
            return True
        finally:
            self._containment.end(before)

    async def _retry(self, work: Work, upto_position: int) -> Retrial | None:
        letter = await work.take_due_letter()
        if letter is None:
            return None
        records = await work.queued_events(letter, upto_position, self._lot_events + 1)
        lot, rest = records[: self._lot_events], records[self._lot_events :]
        events, failure = await self._apply(work, lot)
        if failure is None:
            await (work.advance(letter, rest[0]) if rest else work.resolve(letter))
            return Retrial(letter, events, is_resolved=not rest)
        if self._desk.is_transient(failure.cause):
            await self._stop_before(work, letter, failure)
            return Retrial(letter, events, interruption=failure.cause)
        attempts = await self._fail_again(work, letter, failure)
        return Retrial(letter, events, failure, attempts)

    async def _apply(
        self, work: Work, records: Sequence[RecordedEvent]
    ) -> tuple[int, EventFailedError | None]:
        """Apply events up to the first that fails; return how many, and that failure."""
        events = 0
        for delivery in self._router.route(records):
            try:
                await apply_one(work, self._subscription, delivery)
            except EventFailedError as failure:
                return events, failure
            events += 1
        return events, None

    async def _stop_before(self, work: Work, letter: OpenLetter, failure: EventFailedError) -> None:
        """Keep a letter due at an event whose failure passes by itself."""
        if self._subscription.is_repeatable:
            raise failure.cause
        # A rollback would not undo what was done outside for the events before; it would repeat it.
        record = failure.delivery.record
        if record.version != letter.version:
            await work.advance(letter, record)

    async def _fail_again(self, work: Work, letter: OpenLetter, failure: EventFailedError) -> int:
        """Keep a letter open for the event that failed, and return how often that was tried."""
        record = failure.delivery.record
        attempts = letter.attempts + 1 if record.version == letter.version else 1
        again = self._containment.describe(failure, attempts)
        await work.fail_again(letter, again, self._containment.retry_after_seconds(attempts))
        return attempts

    def _tell(self, retrial: Retrial) -> None:
        letter = retrial.letter
        self._applied[letter.id] += retrial.events
        if retrial.events:
            self._containment.recovered()
        if retrial.is_resolved:
            log_resumed(self._partition, letter.stream, self._applied.pop(letter.id))
        elif retrial.failure is not None:
            del self._applied[letter.id]
            self._containment.tell(retrial.failure, Action.PARK, retrial.attempts)
