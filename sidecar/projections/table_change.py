"""What somebody else did to a table of a read model, as far as the server tells. Pure."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SETTLED_SECONDS: Final = 20.0
"""After so long a session without work has reported all of its writes to the server's counts."""
LEAST_ROWS: Final = 20
"""A read model of fewer rows may well lose all of them by its own events at once."""


class Change(StrEnum):
    """What was done to a table by none of its projection's statements; the worst comes last.

    One that is unfilled lacks what its projection handled before it was declared.
    """

    REWRITTEN = "rewritten"
    WRITTEN = "written"
    UNFILLED = "unfilled"
    REPLACED = "replaced"
    EMPTIED = "emptied"
    CRASHED = "crashed"

    def outranks(self, other: "Change | None") -> bool:
        """Tell whether it is worse than another one."""
        return other is None or _RANKS[self] > _RANKS[other]


_RANKS: Final = {change: rank for rank, change in enumerate(Change)}
LOSSES: Final = frozenset({Change.REPLACED, Change.EMPTIED, Change.CRASHED})
"""Rows are gone for certain."""


def find_worst(changes: Iterable[Change | None]) -> Change | None:
    """Return the worst of them; None when there is none."""
    return max((each for each in changes if each is not None), key=_RANKS.__getitem__, default=None)


@dataclass(frozen=True, slots=True)
class TableChange:
    """One that nobody has settled yet.

    Attributes:
        table: As the projection declares it.
        seen_at: Aware wall time at which it was seen first.
    """

    table: str
    change: Change
    seen_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """What the server counted of a table since it began to.

    Attributes:
        rows: As good as it knows; `VACUUM` and `ANALYZE` estimate it anew.
        inserted: Also by transactions that were rolled back, as are the next two.
        estimates: How often it was estimated.
    """

    rows: int
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    estimates: int = 0

    @property
    def written(self) -> int:
        """How many rows were written in whichever way."""
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True, slots=True)
class TableLook:
    """A table at one moment.

    Attributes:
        file: The table's identity and that of its file.
        counts: What the server has counted.
        is_counted: The catalogue knows how many rows the file holds, as after `VACUUM FULL`.
        is_empty: The file is another one than was marked, and holds nothing.
        is_unlogged: A crash of the server empties the table, in the same file.
        position: The sum of its projections' positions.
        moves: Changes with whatever they may have written.
        marked_at: When it was marked as its projection's own.
        seen_at: Aware wall time of the look.
        next_transaction: Id of a transaction that had not begun.
    """

    file: tuple[int, int]
    counts: Counts
    is_counted: bool
    is_empty: bool
    is_unlogged: bool
    position: int
    moves: str
    marked_at: dt.datetime
    seen_at: dt.datetime
    next_transaction: str

    def judge_file(self, file: tuple[int, int], counts: Counts) -> Change | None:
        """Say what was done to a table that was another file once, with such counts."""
        if self.file == file:
            return None
        if self.file[0] != file[0]:
            return Change.REPLACED
        if self.is_empty or self._lacks_rows(counts):
            return Change.EMPTIED
        return Change.REWRITTEN

    def judge_rows(self, before: "TableLook") -> Change | None:
        """Say whether all rows were deleted at once from a table that none was deleted from."""
        then, now = before.counts, self.counts
        if then.deleted or then.rows < LEAST_ROWS or not self._lacks_rows(then):
            return None
        events = self.position - before.position
        return Change.EMPTIED if now.deleted >= then.rows and now.deleted > events else None

    def may_be_crashed(self, then: Counts) -> bool:
        """Tell whether a crash may have emptied a table that had rows: its counts began anew."""
        return self.is_unlogged and then.rows > 0 and self.counts.written < then.written

    def needs_mark(self, marked: Counts) -> bool:
        """Tell whether a mark would not show how much a crash has emptied."""
        rows = self.counts.rows
        is_near = marked.rows <= 2 * rows and rows <= 2 * marked.rows
        return self.is_unlogged and self.counts.written >= marked.written and not is_near

    def judge_stillness(self, still: "TableLook") -> Change | None:
        """Say whether rows vanished since a look after which no projection wrote; else None."""
        then, now = still.counts, self.counts
        if self.moves != still.moves or now.estimates != then.estimates or now.rows >= then.rows:
            return None
        if now.written < then.written:
            return None
        return Change.WRITTEN if now.rows else Change.EMPTIED

    def _lacks_rows(self, then: Counts) -> bool:
        """Tell whether there are none but those that were inserted since."""
        now = self.counts
        if self.is_counted or now.written < then.written or not then.rows:
            return False
        return now.rows <= now.inserted - then.inserted


_SAID: Final = {
    Change.REWRITTEN: "was rewritten, as by VACUUM FULL or ALTER TABLE, or filled anew",
    Change.WRITTEN: "was written by somebody else, for its projection stood still",
    Change.UNFILLED: "was declared when its projection had handled events without it, as by a new "
    "release, a rollback or another service",
    Change.REPLACED: "was dropped and made again, without the rows that it had",
    Change.EMPTIED: "lost all of its rows at once",
    Change.CRASHED: "is UNLOGGED and was emptied by a crash of the server",
}


def describe_changes(name: str, changes: Sequence[TableChange]) -> str:
    """Say in one sentence what was done to the tables of a read model, and what to do."""
    if not changes:
        return ""
    done = ", ".join(
        f"table {each.table} {_SAID[each.change]} (seen {each.seen_at:%H:%M:%S})"
        for each in changes
    )
    return (
        f"{done}: `sidecar projections verify {name}` shows which rows are wrong and settles it if "
        f"none is, `sidecar projections rebuild {name}` fills it anew, `sidecar projections accept "
        f"{name} --reason TEXT` takes it as it is"
    )
