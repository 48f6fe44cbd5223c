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
    """Missing positions that someone may still fill.

    Attributes:
        first: Lowest missing position.
        beyond: Lowest visible position above it when the gap was noted.
        since_mono: Monotonic time of that note, seconds.
        suspects: Transactions that held a write lock after that note; None until they are known.
    """

    first: int
    beyond: int
    since_mono: float
    suspects: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one statement saw above the safe head.

    Attributes:
        contiguous: End of the contiguous prefix; None when its first position is missing.
        beyond: Lowest visible position above the first gap; None without a gap.
        highest: Highest visible position in the log; 0 when it is empty.
    """

    contiguous: int | None
    beyond: int | None
    highest: int


@dataclass(frozen=True, slots=True)
class Head:
    """Where the safe head stands and what holds it there."""

    position: int = 0
    highest: int = 0
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """A dead gap: both ends belong to it."""

    first: int
    last: int


def step(
    head: Head, sighting: Sighting, remaining: frozenset[str], now_mono: float
) -> tuple[Head, Skip | None]:
    """Advance the safe head by one sighting.

    Args:
        head: Where it stands.
        sighting: What was read *after* `remaining` was.
        remaining: Transactions with a write lock, read before the sighting; only asked for while
            a gap with known suspects holds the head.
        now_mono: Monotonic time, seconds.

    Returns:
        The new head, and the gap it stepped over if one was proved dead.
    """
    position = head.position if sighting.contiguous is None else sighting.contiguous
    highest = max(head.highest, sighting.highest, position)
    if sighting.beyond is None:
        return Head(position, highest), None
    gap = head.gap
    if gap is None or gap.first != position + 1:
        noted = Gap(position + 1, sighting.beyond, now_mono)
        return Head(position, highest, noted), None
    if gap.suspects is None:
        return Head(position, highest, gap), None
    suspects = _still_suspect(gap.suspects, remaining)
    if suspects:
        return Head(position, highest, replace(gap, suspects=suspects)), None
    # The lowest visible position may have come down since the note, never gone up.
    dead = Skip(gap.first, min(gap.beyond, sighting.beyond) - 1)
    return Head(dead.last, highest), dead


def _still_suspect(suspects: frozenset[str], remaining: frozenset[str]) -> frozenset[str]:
    """Return who may still fill a gap.

    A prepared transaction outlives a restart of the server, under another id. So when a suspect is
    gone, every transaction that shows itself as prepared may be that suspect.
    """
    gone = suspects - remaining
    if all(writer.startswith(_PREPARED) for writer in gone):
        return suspects & remaining
    return frozenset(w for w in remaining if w in suspects or w.startswith(_PREPARED))


def suspect(head: Head, writers: frozenset[str]) -> Head:
    """Add the transactions that were found writing after the gap was noted."""
    if head.gap is None or head.gap.suspects is not None:
        return head
    return replace(head, gap=replace(head.gap, suspects=writers))


def held_seconds(head: Head, now_mono: float) -> float:
    """Return for how long the present gap has held the head; 0.0 when none does."""
    return 0.0 if head.gap is None else max(now_mono - head.gap.since_mono, 0.0)
