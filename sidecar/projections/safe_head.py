"""The safe head: the highest position below which nothing can still appear. Pure.

Positions are drawn before their transactions commit, so the log has gaps, and a reader that steps
over a gap too early loses the event that fills it later. The contiguous prefix is safe at once. A
gap is skipped on proof alone, never by a clock: once a position above it is visible, every missing
number below was drawn already, by a transaction that held a write lock on the log while it drew.
When none of the transactions that held such a lock then remains, what is still absent is dead.
"""

from dataclasses import dataclass, replace
from typing import Final

# After a restart `pg_locks` shows a prepared transaction under this prefix and its xid.
_PREPARED: Final = "-1/"


@dataclass(frozen=True, slots=True)
class Writer:
    """A transaction that holds, or has prepared, a write on the log.

    Attributes:
        id: Its virtual transaction id.
        pid: Its backend; None for a prepared transaction.
        application_name: As the session calls itself.
        state: As in `pg_stat_activity`, such as `idle in transaction`.
        age_seconds: Since the transaction began; None when not known.
    """

    id: str
    pid: int | None = None
    application_name: str | None = None
    state: str | None = None
    age_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of missing positions between visible ones; both ends belong to it."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class GapHold:
    """The lowest gap, and who may still fill it.

    Attributes:
        first: Lowest missing position.
        seen_up_to: Highest position visible when the gap was found, so that every number below it
            had been drawn by then.
        since_mono: Monotonic time since which `first` is the lowest, seconds.
        possible_writers: Transactions that held a write lock after that; None until they are known.
    """

    first: int
    seen_up_to: int
    since_mono: float
    possible_writers: frozenset[str] | None = None

    @property
    def is_dead(self) -> bool:
        """Whether no writer is left that could fill it: what was missing *then* is dead."""
        return self.possible_writers is not None and not self.possible_writers


@dataclass(frozen=True, slots=True)
class LogScan:
    """What one statement saw above the safe head.

    Attributes:
        last: Highest position looked at; the safe head itself when there is none above.
        gaps: All gaps between the safe head and `last`, ascending.
        highest: Highest visible position in the log; 0 when it is empty.
    """

    last: int
    gaps: tuple[Gap, ...]
    highest: int


@dataclass(frozen=True, slots=True)
class Head:
    """Where the safe head stands and what holds it there."""

    position: int = 0
    highest: int = 0
    hold: GapHold | None = None


def step(
    head: Head, scan: LogScan, remaining: frozenset[str], now_mono: float
) -> tuple[Head, tuple[Gap, ...]]:
    """Advance the safe head by a scan; return also the gaps that it stepped over, proved dead.

    The scan was read *after* `remaining`: the transactions with a write lock, only asked for while
    a gap with known writers holds the head.
    """
    hold = _narrow(head.hold, remaining)
    dead, alive = _part(scan.gaps, hold)
    highest = max(head.highest, scan.highest)
    if not alive:
        return Head(scan.last, highest), dead
    first = alive[0].first
    return Head(first - 1, highest, _hold_at(first, hold, scan.last, now_mono)), dead


def add_writers(head: Head, writers: frozenset[str]) -> Head:
    """Add the transactions that were found writing after the gap was found."""
    if head.hold is None or head.hold.possible_writers is not None:
        return head
    return replace(head, hold=replace(head.hold, possible_writers=writers))


def held_seconds(head: Head, now_mono: float) -> float:
    """Return for how long the lowest gap has held the head; 0.0 when none does."""
    return 0.0 if head.hold is None else max(now_mono - head.hold.since_mono, 0.0)


def _part(gaps: tuple[Gap, ...], hold: GapHold | None) -> tuple[tuple[Gap, ...], tuple[Gap, ...]]:
    """Part the gaps that are proved dead from those that may still be filled."""
    if hold is None or not hold.is_dead:
        return (), gaps
    count = sum(1 for gap in gaps if gap.last < hold.seen_up_to)
    return gaps[:count], gaps[count:]


def _hold_at(first: int, hold: GapHold | None, last: int, now_mono: float) -> GapHold:
    """Keep the hold while it covers the lowest gap, else make a new one that covers all seen."""
    if hold is None or hold.is_dead or first > hold.seen_up_to:
        return GapHold(first, last, now_mono)
    if first != hold.first:
        return replace(hold, first=first, since_mono=now_mono)
    return hold


def _narrow(hold: GapHold | None, remaining: frozenset[str]) -> GapHold | None:
    """Forget the possible writers that are gone.

    A prepared transaction outlives a restart of the server, under another id. So when a writer is
    gone, every transaction that shows itself as prepared may be that writer.
    """
    if hold is None or hold.possible_writers is None:
        return hold
    gone = hold.possible_writers - remaining
    left = hold.possible_writers & remaining
    if any(not writer.startswith(_PREPARED) for writer in gone):
        left |= {writer for writer in remaining if writer.startswith(_PREPARED)}
    return replace(hold, possible_writers=left)
