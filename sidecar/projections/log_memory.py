"""What is remembered of the log, and whether the log that a server has now is still that one. Pure.

A log that was restored, or that a replica goes on with, may lack its end. Positions are then given
to other events, and soon nothing in the log itself shows that it was longer. So the latest events
are remembered, outside of the database too, each as position and mark, and are looked up again at
each connect. An erased event has no successor at its position; a lost one has, or will have.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

MOST_RECENT: Final = 1000
"""So many of the latest events are remembered, each; of those before them a few, ever sparser."""

Mark: TypeAlias = tuple[int, str]
"""The position of an event, and a digest of its id."""


class Verdict(StrEnum):
    """What has become of the log that is remembered."""

    SAME = "same"
    ERASED = "erased"
    LOST = "lost"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Where a log is, and how far its server has written.

    Attributes:
        place: System identifier and database; empty where they cannot be read.
        table: The table, which a restore makes anew.
        timeline: Of the server's own log; each promotion begins one.
        lsn: How far that log is written, in bytes.
    """

    place: str = ""
    table: str = ""
    timeline: int = 0
    lsn: int = 0


@dataclass(frozen=True, slots=True)
class LogMemory:
    """The events that are remembered, ascending, and where they were seen."""

    identity: LogIdentity
    events: tuple[Mark, ...]

    @property
    def last_position(self) -> int:
        """The highest position remembered; 0 for none."""
        return self.events[-1][0] if self.events else 0

    @property
    def complete_after(self) -> int:
        """The position above which every event is remembered, not only some."""
        return self.events[-MOST_RECENT][0] if len(self.events) > MOST_RECENT else 0


@dataclass(frozen=True, slots=True)
class LogLook:
    """What a server has of the events that are remembered.

    Attributes:
        identity: Where the log is now.
        found: The marks at remembered positions that have an event.
        is_empty: Whether the log has no event at all.
        drawn: The last position that was given; None where that cannot be known.
    """

    identity: LogIdentity
    found: Mapping[int, str]
    is_empty: bool = False
    drawn: int | None = None


@dataclass(frozen=True, slots=True)
class LogLoss:
    """The end of a log that is gone.

    Attributes:
        first_position: Of the first event that is gone.
        first_event: Its mark, by which everybody knows this loss.
        last_position: The highest one remembered.
        common_position: Of the last event that is still there; None when none is.
        events: How many are gone.
        is_exact: Whether every event that is gone is counted; else there are more.
        reused: First and last of these positions that have other events by now.
    """

    first_position: int
    first_event: str
    last_position: int
    common_position: int | None
    events: int
    is_exact: bool
    reused: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, with what is still true of the memory and, where the end is lost, what is gone."""

    verdict: Verdict
    memory: LogMemory
    loss: LogLoss | None = None


def judge(memory: LogMemory, look: LogLook) -> Judgement:
    """Compare what is remembered with what is there."""
    common = tuple(mark for mark in memory.events if look.found.get(mark[0]) == mark[1])
    kept = LogMemory(look.identity, common)
    gone = tuple(mark for mark in memory.events if mark[0] > kept.last_position)
    if len(common) == len(memory.events):
        return Judgement(Verdict.SAME, kept)
    if not gone or not _is_given_anew(memory, look, gone):
        return Judgement(Verdict.ERASED, kept)
    is_elsewhere = look.identity.place != memory.identity.place
    if not common and is_elsewhere and not look.is_empty:
        return Judgement(Verdict.OTHER, memory)
    loss = LogLoss(
        *gone[0],
        last_position=memory.last_position,
        common_position=kept.last_position or None,
        events=len(gone),
        is_exact=kept.last_position >= memory.complete_after,
    )
    return Judgement(Verdict.LOST, kept, loss)


def remember(memory: LogMemory | None, identity: LogIdentity, fresh: Iterable[Mark]) -> LogMemory:
    """Add events to what is remembered; of those long past a few are kept, ever sparser."""
    known = dict(memory.events if memory else ()) | dict(fresh)
    events = tuple(sorted(known.items()))
    recent = events[-MOST_RECENT:]
    sparse: dict[int, Mark] = {}
    for mark in events[:-MOST_RECENT]:
        sparse.setdefault((events[-1][0] - mark[0]).bit_length(), mark)
    return LogMemory(identity, (*sorted(sparse.values()), *recent))


def describe_loss(loss: LogLoss) -> str:
    """Say what a log lacks and what to do, without a full stop."""
    count = "1 event is" if loss.events == 1 else f"{loss.events} events are"
    at_least = "" if loss.is_exact else "at least "
    shared = (
        "it shares no event with what was seen"
        if loss.common_position is None
        else f"the last event that was seen and is still there is at {loss.common_position}"
    )
    anew = "will be given to other events"
    if loss.reused is not None:
        anew = f"are given anew: other events have {_span(*loss.reused)} by now"
    return (
        f"The log has lost its end, as by a restore or a failover: {at_least}{count} gone, "
        f"{_span(loss.first_position, loss.last_position)}, and {shared}. Those positions {anew}. "
        "Read models of the same database went back with it; handlers, which may have acted on "
        f"what is gone, wait. `{accept_command(loss.first_event)}` ends this and lets them go on"
    )


def describe_hold(handler: str, loss: LogLoss, position: int) -> str:
    """Say why a handler waits, and how it goes on."""
    return (
        f"the log has lost {loss.events} event(s) that {handler} may have handled, "
        f"{_span(loss.first_position, loss.last_position)}, and gives their positions to others. "
        f"Nothing is handled until `sidecar projections accept {handler} --reason TEXT`: it goes "
        f"on after position {position}, where its checkpoint is now, and may handle again what it "
        "had handled before; `--at POSITION` has it go on after another one"
    )


def describe_other(memory: LogMemory) -> str:
    """Say that this is another database, and what to do, without a full stop."""
    _, token = memory.events[-1]
    return (
        "DATABASE_URL leads to another database: it is of another server, and none of the events "
        f"that were seen, up to position {memory.last_position}, is in its log. Nothing runs on "
        "it, and nothing is written to it. Correct the address; or, if this one takes the place of "
        f"the other, `{accept_command(token)}`"
    )


def accept_command(token: str) -> str:
    """Return the command that takes a log as it is."""
    return f"sidecar projections accept --log {token} --reason TEXT"


def _is_given_anew(memory: LogMemory, look: LogLook, gone: Iterable[Mark]) -> bool:
    """Return True when positions of events that are gone are other events', or will be.

    The newest events of a log can be erased as well, which gives no position anew.
    """
    if any(position in look.found for position, _ in gone):
        return True
    if look.drawn is not None and look.drawn < memory.last_position:
        return True
    before, now = memory.identity, look.identity
    is_known = bool(before.place and now.place)
    is_moved = (before.place, before.table, before.timeline) != (now.place, now.table, now.timeline)
    return is_known and (is_moved or now.lsn < before.lsn)


def _span(first: int, last: int) -> str:
    return f"position {first}" if first == last else f"positions {first} to {last}"
