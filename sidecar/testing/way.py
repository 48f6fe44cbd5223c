"""The ways in which the same events can reach a projection, each with what a difference means."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.projections.projection import Subscription
from sidecar.testing.injected_fault import (
    Fault,
    HandlerFails,
    HandlerKeepsFailing,
    SessionEnds,
    doubt_commits,
    lose_commits,
    refuse_commits,
)

ALL: Final = 1000
FAULTY_EVENTS: Final = 25
"""At most at so many events, evenly spread, something goes wrong."""

_BATCHES: Final = (
    "What the handler does depends on how many events share a transaction: it may read a clock, or "
    "keep something for a later event."
)
_AGAIN: Final = (
    "After a rollback an event is applied again: what was done for it outside of the tables was "
    "not undone, such as in attributes of the object or by a sequence."
)
_STREAMS: Final = (
    "Order holds within a stream only: other streams go on while one waits. What is written may "
    "depend on which event came last of all (keep the greatest position or time instead), or on "
    "rows of other streams."
)
_REBUILD: Final = (
    "A rebuild fills a copy of the tables beside the live ones, through the same object: its "
    "attributes and sequences go on from where they are. A name with a schema does not lead there, "
    "and rows that `setup` writes are not in it."
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way.

    Attributes:
        name: How it is told, behind "when".
        cause: What makes its rows differ, for a person.
        eager: Whether each write is sent at once.
        batch_events: How many events share a transaction.
        page_events: How many a page holds.
        makes_fault: What goes wrong.
        restarts: Whether the process is new for each event.
        rebuilds: Whether a second copy is filled, which is compared.
        parks: Whether an event that fails is parked at once, and retried when all is over.
        is_reversed: Whether the last partition comes first.
    """

    name: str
    cause: str
    eager: bool = True
    batch_events: int = ALL
    page_events: int = ALL
    makes_fault: Callable[[], Fault] = Fault
    restarts: bool = False
    rebuilds: bool = False
    parks: bool = False
    is_reversed: bool = False


PLAIN: Final = Way("its events are applied one by one", "", batch_events=1)
AGAIN: Final = Way(
    "its events are applied one by one once more",
    "The same events gave other rows: a value comes of a clock or of chance, such as now(), "
    "uuid4() or random(), or of something that outlives the projection. Take times and ids from "
    "the event or its record, or leave the column out with `ignore`.",
    batch_events=1,
)
RESTARTED: Final = Way(
    "its process is new for each event",
    "What it writes depends on what the object keeps from one event to the next, which a worker "
    "that starts, another one, or a rebuild does not have. Keep it in a table.",
    batch_events=1,
    restarts=True,
)


def choose_ways(subscription: Subscription, events: int) -> Iterator[Way]:
    """Yield the ways to compare with `PLAIN`, the most telling first."""
    eager = subscription.eager
    yield from (AGAIN, RESTARTED)
    yield Way("its events share one transaction, each write sent at once", _BATCHES)
    if not eager:
        cause = "Deferred writes are sent later, several at once; a read sends them first."
        yield Way("its events share one transaction, with deferred writes", cause, eager=False)
        name = "each event is applied alone, with deferred writes"
        yield Way(name, cause, eager=False, batch_events=1)
    for size in (2, 3, 7):
        if size < events:
            name = f"its events come in pages of {size}"
            yield Way(name, _BATCHES, eager=eager, page_events=size)
    if subscription.partitions > 1:
        name = "the last partition is ahead of the others"
        yield Way(name, _STREAMS, eager=eager, is_reversed=True)
    yield Way("the read model is rebuilt", _REBUILD, eager=eager, rebuilds=True)
    yield from _choose_faulty(events, eager=eager)


def _choose_faulty(events: int, *, eager: bool) -> Iterator[Way]:
    commits = {
        "each transaction is rolled back once by the end of its session": lose_commits,
        "each commit is refused once": refuse_commits,
        "each commit takes place, but its answer is lost": doubt_commits,
    }
    for name, makes in commits.items():
        yield Way(name, _AGAIN, eager=eager, page_events=3, makes_fault=makes)
    for position in spread(events):
        at = f"event {position}"

        def fails(position: int = position) -> Fault:
            return HandlerFails(position)

        def keeps_failing(position: int = position) -> Fault:
            return HandlerKeepsFailing(position)

        def ends(position: int = position) -> Fault:
            return SessionEnds(position)

        name = f"the handler of {at} fails once and is called again"
        yield Way(name, f"{_AGAIN} {_STREAMS}", eager=eager, makes_fault=fails)
        yield Way(f"the session ends in {at}", _AGAIN, eager=eager, makes_fault=ends)
        name = f"{at} becomes a dead letter and is retried"
        yield Way(name, _STREAMS, eager=eager, makes_fault=keeps_failing, parks=True)


def spread(events: int) -> Sequence[int]:
    """Return positions from the first event to the last, all of them where they are few."""
    if events <= FAULTY_EVENTS:
        return range(1, events + 1)
    return [1 + (events - 1) * n // (FAULTY_EVENTS - 1) for n in range(FAULTY_EVENTS)]
