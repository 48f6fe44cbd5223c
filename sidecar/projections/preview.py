"""What the swap of a rebuilt copy changes, and whether a person has to approve it. Pure.

Rows that come or change are what a rebuild is for. Rows that go are told and asked about first: a
log that lost events, or a handler that lost a case, would take them away for good.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sidecar.projections.comparison import Kind, Report, TableReport, describe_erased

MAX_LAG_POSITIONS: Final = 1000
"""Where the live copy is further ahead, the new one catches up before they are compared."""
MAX_KEYS: Final = 10
"""So many keys of each kind of change are kept of a part, and printed."""

_CHANGES: Final = {Kind.MISSING: "added", Kind.EXTRA: "removed", Kind.DIFFERENT: "changed"}


class Distance(Enum):
    """Where a new copy is, seen from the live one."""

    LEVEL = auto()
    AHEAD = auto()
    BEHIND = auto()


@dataclass(frozen=True, slots=True)
class Pair:
    """One partition of both copies.

    Attributes:
        is_live: Whether the live copy is to go on at all: it is neither paused nor blocked.
        lag: How many positions the new copy is behind; negative when it is before the live one.
        is_ahead: Whether the new copy has applied what the live one is still to apply.
    """

    is_live: bool
    lag: int
    is_ahead: bool


def judge_distance(pairs: Sequence[Pair], *, may_wait: bool) -> Distance:
    """Say whether both copies can be compared as they stand.

    A live copy that is behind is waited for while that may help: what it is still to apply would
    pass for what the swap changes.
    """
    if any(pair.lag > MAX_LAG_POSITIONS for pair in pairs):
        return Distance.BEHIND
    if may_wait and any(pair.is_ahead and pair.is_live for pair in pairs):
        return Distance.AHEAD
    return Distance.LEVEL


def needs_approval(report: Report) -> bool:
    """Return True when the swap takes away what cannot be had again.

    Of a log that lost events, a row that changes may have been made of them.
    """
    lossy = {Kind.EXTRA, Kind.DIFFERENT} if report.erased else {Kind.EXTRA}
    return any(table.counts.get(kind, 0) for table in report.tables for kind in lossy)


def describe_loss(projection: str, report: Report) -> str:
    """Say what a person has to approve, and with which command."""
    told = (
        [f"{_sum_up(report.tables, Kind.EXTRA)} would vanish"] if _has(report, Kind.EXTRA) else []
    )
    if report.erased:
        told.append(describe_erased(report.erased))
        if _has(report, Kind.DIFFERENT):
            told.append(f"{_sum_up(report.tables, Kind.DIFFERENT)} would be made without them")
    return (
        f"{', '.join(told)}; `sidecar projections rebuild {projection} --yes` swaps it, `--cancel` "
        "drops it"
    )


def describe_changes(report: Report) -> Iterator[str]:
    """Yield lines about what the swap changes, with the first keys."""
    if report.erased:
        yield f"{describe_erased(report.erased)}; what was made of them is not made again"
    for table in report.tables:
        counts = {kind: table.counts.get(kind, 0) for kind in _CHANGES}
        told = ", ".join(f"{rows} {_CHANGES[kind]}" for kind, rows in counts.items() if rows)
        yield f"{table.table}: {told or 'no row changes'}"
        for kind in (Kind.EXTRA, Kind.DIFFERENT, Kind.MISSING):
            if counts[kind]:
                yield f"  {_CHANGES[kind]}: {_list_keys(table, kind, counts[kind])}"


def _has(report: Report, kind: Kind) -> bool:
    return any(table.counts.get(kind) for table in report.tables)


def _sum_up(tables: Iterable[TableReport], kind: Kind) -> str:
    counts = ((table.table, table.counts.get(kind, 0)) for table in tables)
    parts = (f"{n} {'row' if n == 1 else 'rows'} of {name}" for name, n in counts if n)
    return " and ".join(parts)


def _list_keys(table: TableReport, kind: Kind, rows: int) -> str:
    found = [each for each in table.differences if each.kind is kind][:MAX_KEYS]
    keys = "; ".join(", ".join(part or "null" for part in each.key) for each in found)
    more = rows - sum(each.rows for each in found)
    return f"{keys} and {more} more" if more > 0 else keys
