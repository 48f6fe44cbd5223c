"""What a comparison of a read model with a replay of the log finds. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

MAX_DIFFERENCES: Final = 1000
"""So many are kept with their keys; all are counted."""


class Kind(StrEnum):
    """How a row of the read model relates to the row of the replay with the same key."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"
    OTHER_FORM = "other_form"
    """Equal by value, stored in another form: 1.0 and 1.00."""
    ROUNDING = "rounding"
    """Floating-point numbers that differ by their last digits, as sums in another order do."""


DRIFT: Final = frozenset({Kind.MISSING, Kind.EXTRA, Kind.DIFFERENT})
"""What makes a read model wrong."""


class Difference(msgspec.Struct, frozen=True):
    """One row that is not as the log has it.

    Attributes:
        kind: `missing` from the read model, `extra` in it, or another.
        key: Values of the key's columns as PostgreSQL writes them; of a table without a key, the
            whole row.
        columns: Those that differ, in the table's order.
        rows: How many of them there are; more than one in a table without a key.
    """

    kind: Kind
    key: tuple[str | None, ...]
    columns: tuple[str, ...] = ()
    rows: int = 1


class KeyEvents(msgspec.Struct, frozen=True):
    """Events that may have made one row.

    Attributes:
        key: Of the row, as a difference has it.
        stream: In which they are.
        first_version: The lowest version of them; `last_version` is the highest.
        positions: Of the latest of them, ascending.
        is_named: The stream is named like the key; else their data holds it, which is a hint.
    """

    key: tuple[str | None, ...]
    stream: str
    first_version: int
    last_version: int
    positions: tuple[int, ...]
    is_named: bool


class TableReport(msgspec.Struct, frozen=True):
    """What was found in one table.

    Attributes:
        key: Columns by which rows are paired; empty where whole rows are counted.
        left_out: Columns that were not compared, and why.
        rows: Rows of the read model that were compared.
        counts: Rows by kind of difference.
        columns: Rows in which a column differs, by column; those that make it wrong alone.
        differences: The first of them.
        events: Those that may have made one of them.
    """

    table: str
    key: tuple[str, ...] = ()
    left_out: dict[str, str] = {}
    rows: int = 0
    counts: dict[Kind, int] = {}
    columns: dict[str, int] = {}
    differences: tuple[Difference, ...] = ()
    events: tuple[KeyEvents, ...] = ()

    @property
    def drift_rows(self) -> int:
        """How many rows are wrong."""
        return sum(self.counts.get(kind, 0) for kind in DRIFT)

    def added(self, part: "Part") -> "TableReport":
        """Return the report with another part of the table."""
        counts, columns = Counter(self.counts), Counter(self.columns)
        counts.update(part.more)
        differences = list(self.differences)
        for difference in part.found:
            counts[difference.kind] += difference.rows
            if difference.kind in DRIFT:
                columns.update(difference.columns)
            if len(differences) < MAX_DIFFERENCES:
                differences.append(difference)
        return msgspec.structs.replace(
            self,
            rows=self.rows + part.rows,
            counts=dict(counts),
            columns=dict(columns),
            differences=tuple(differences),
        )

    @property
    def unsteady_columns(self) -> tuple[str, ...]:
        """Columns that differ in every row, and explain all that is different."""
        different = self.counts.get(Kind.DIFFERENT, 0)
        if not different or different < self.rows - self.counts.get(Kind.EXTRA, 0):
            return ()
        return tuple(name for name, rows in self.columns.items() if rows == different)

    @property
    def has_other_keys(self) -> bool:
        """Whether rows of both are there, and none has the key of another."""
        is_paired = self.rows > self.counts.get(Kind.EXTRA, 0)
        return bool(self.key and self.counts.get(Kind.MISSING) and self.rows and not is_paired)


@dataclass(frozen=True, slots=True)
class Part:
    """What was found in one part of a table.

    Attributes:
        rows: Of the live copy.
        last_key: Up to where it goes; None at the end of the table.
        more: Rows by kind of difference that were counted beside those found.
    """

    rows: int
    found: Sequence[Difference]
    last_key: tuple[str, ...] | None
    more: Mapping[Kind, int] = field(default_factory=dict)


class Erased(msgspec.Struct, frozen=True):
    """Positions of events that the log held once and holds no more."""

    positions: int
    first: int
    last: int


class Report(msgspec.Struct, frozen=True):
    """What one verification found.

    Attributes:
        tables: In the order in which they were compared.
        from_position: The lowest position at which any part was compared.
        upto_position: The highest.
        erased: What no replay can apply, since the log lost it; None when it holds all.
        reads: Other tables that the handler has read: a change of one is in no event.
    """

    tables: tuple[TableReport, ...] = ()
    from_position: int = 0
    upto_position: int = 0
    erased: Erased | None = None
    reads: tuple[str, ...] = ()

    @property
    def drift_rows(self) -> int:
        """How many rows of all tables are wrong."""
        return sum(table.drift_rows for table in self.tables)

    @property
    def rows(self) -> int:
        """How many rows were compared."""
        return sum(table.rows for table in self.tables)

    def compared_at(self, position: int) -> "Report":
        """Return the report with another position at which a part was compared."""
        lowest = min(self.from_position or position, position)
        highest = max(self.upto_position, position)
        return msgspec.structs.replace(self, from_position=lowest, upto_position=highest)

    def with_reads(self, names: Iterable[str]) -> "Report":
        """Return the report with more of the tables that the handler has read."""
        return msgspec.structs.replace(self, reads=tuple(sorted({*self.reads, *names})))

    def with_table(self, table: TableReport) -> "Report":
        """Return the report with what is known of one table, in place of what was."""
        others = [each for each in self.tables if each.table != table.table]
        return msgspec.structs.replace(self, tables=(*others, table))


def describe(projection: str, report: Report) -> str:
    """Say in one sentence what was found."""
    place = _describe_place(report)
    lost = f"; {describe_erased(report.erased)}" if report.erased else ""
    if not report.drift_rows:
        return f"{projection}: no difference in {report.rows} rows, verified {place}{lost}"
    counts = _sum_up(report.tables)
    parts = [f"{counts[kind]} {kind}" for kind in Kind if kind in DRIFT and counts[kind]]
    wrong = ", ".join(parts)
    return f"{projection}: {report.drift_rows} rows are wrong ({wrong}), verified {place}{lost}"


def describe_erased(erased: Erased) -> str:
    """Say which events the log lost."""
    if erased.positions == 1:
        return f"the log lost the event at position {erased.first}"
    where = f"positions {erased.first} to {erased.last}"
    if erased.positions == erased.last - erased.first + 1:
        return f"the log lost the events at {where}"
    return f"the log lost {erased.positions} events at {where}"


def _describe_place(report: Report) -> str:
    if report.from_position == report.upto_position:
        return f"at position {report.upto_position}"
    return f"between positions {report.from_position} and {report.upto_position}"


def _sum_up(tables: Sequence[TableReport]) -> Counter[Kind]:
    counts: Counter[Kind] = Counter()
    for table in tables:
        counts.update(table.counts)
    return counts
