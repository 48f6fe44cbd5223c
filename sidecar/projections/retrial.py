"""Taking a parked stream up again: its events in order, from the one that failed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sidecar.projections.application import EventFailedError, apply_one
from sidecar.projections.containment import Containment
from sidecar.projections.letter import write_letter
from sidecar.projections.log import log_resumed
from sidecar.projections.observer import Action, RunnerTally
from sidecar.projections.projection import Partition, Subscription
from sidecar.projections.route import Router
from sidecar.projections.work import Desk, OpenLetter, Work

# Events of a stream per transaction; what is left keeps its letter, so that a crash resumes there.
RETRIAL_EVENTS: Final = 500
LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Retrial:
    """What became of one letter.

    Attributes:
        events: Events applied.
        failure: The event that failed again, or a later one of its stream.
    """

    letter: OpenLetter
    events: int
    failure: EventFailedError | None = None
    attempts: int = 0


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

        Args:
            position: The checkpoint, where the transaction is opened.
            tally: Where events are counted.
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
            return True
        finally:
            self._containment.end(before)

    async def _retry(self, work: Work, position: int) -> Retrial | None:
        retrial = await retry_letter(
            work,
            self._subscription,
            self._router,
            position,
            self._containment.trace_id(),
            self._containment.retry_after_seconds,
        )
        failure = retrial.failure if retrial is not None else None
        if failure is not None and self._desk.is_transient(failure.cause):
            # Rolled back, so that the letter stays due.
            raise failure.cause
        return retrial

    def _tell(self, retrial: Retrial) -> None:
        if retrial.failure is None:
            log_resumed(self._partition, retrial.letter.stream, retrial.events)
        else:
            self._containment.tell(retrial.failure, Action.PARK, retrial.attempts)


async def retry_letter(
    work: Work,
    subscription: Subscription,
    router: Router,
    upto_position: int,
    trace_id: str | None,
    retry_after_seconds: Callable[[int], float | None],
) -> Retrial | None:
    """Apply the events of the letter that is due next; None when none is.

    Runs in the transaction that holds the partition's checkpoint, so that no event of the stream
    slips between the last one applied here and the first one that the loop applies.

    Args:
        work: The open transaction; its connection must be eager.
        subscription: Whose events.
        router: Decodes them.
        upto_position: The checkpoint; what lies above comes to the loop by itself.
        trace_id: Of the trace under way.
        retry_after_seconds: Tells, by attempt, when to try again without being asked.
    """
    letter = await work.take_due_letter()
    if letter is None:
        return None
    records = await work.queued_events(letter, upto_position, RETRIAL_EVENTS + 1)
    events = 0
    for delivery in router.route(records[:RETRIAL_EVENTS]):
        try:
            await apply_one(work, subscription, delivery)
        except EventFailedError as failure:
            same = failure.delivery.record.version == letter.version
            attempts = letter.attempts + 1 if same else 1
            again = write_letter(failure.delivery.record, failure.cause, attempts, trace_id)
            await work.fail_again(letter, again, retry_after_seconds(attempts))
            return Retrial(letter, events, failure, attempts)
        events += 1
    if len(records) > RETRIAL_EVENTS:
        await work.advance(letter, records[RETRIAL_EVENTS])
    else:
        await work.resolve(letter)
    return Retrial(letter, events)
