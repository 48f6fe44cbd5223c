"""Taking a parked stream up again: its events in order, from the one that failed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sidecar.projections.application import EventFailedError, apply_one
from sidecar.projections.letter import write_letter
from sidecar.projections.projection import Subscription
from sidecar.projections.route import Router
from sidecar.projections.work import OpenLetter, Work

# Events of a stream per transaction; what is left keeps its letter, so that a crash resumes there.
RETRIAL_EVENTS: Final = 500


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
