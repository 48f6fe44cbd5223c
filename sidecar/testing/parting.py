"""Where two runs of the same events part, in words for a person. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from sidecar.postgres.tables.table_shape import TableShape
from sidecar.projections.comparison import Difference, Kind
from sidecar.testing.ledger import Entry

Row: TypeAlias = Mapping[str, Any]

MAX_NAMED: Final = 3
"""So many rows are shown; all are counted."""
MAX_VALUE_CHARACTERS: Final = 80
MAX_DEPTH: Final = 4

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
_VALUES: Final = (str, bytes, int, float, type(None), list, tuple, set, frozenset, dict)


@dataclass(frozen=True, slots=True)
class Parting:
    """What is not the same after two runs.

    Attributes:
        table: The first table that differs; empty where only dead letters do.
        differences: Of its rows; `missing` and `extra` are meant of the second run.
        lines: The same in words.
    """

    table: str
    differences: Sequence[Difference]
    lines: Sequence[str]


def compare_rows(
    shapes: Sequence[TableShape],
    first: Mapping[str, Sequence[Row]],
    second: Mapping[str, Sequence[Row]],
) -> Parting | None:
    """Compare the tables of two runs; return the first that differs."""
    for shape in shapes:
        rows = first[shape.table], second[shape.table]
        found = list(_compare_by_key(shape, *rows) if shape.key else _compare_whole(*rows))
        if found:
            differences = [difference for difference, _ in found]
            return Parting(shape.table, differences, list(_describe(shape, found)))
    return None


def compare_letters(
    first: Sequence[Entry], second: Sequence[Entry], *, in_order: bool
) -> Parting | None:
    """Compare what failed for good."""
    told = [[_name(entry) for entry in entries] for entries in (first, second)]
    if not in_order:
        told = [sorted(each) for each in told]
    if told[0] == told[1]:
        return None
    plain, here = ([text for _, text in each] for each in told)
    lines = [f"dead letters: {_list(here)}, and otherwise {_list(plain)}"]
    return Parting("", (), lines)


def _name(entry: Entry) -> tuple[int, str]:
    record = entry.record
    return record.position, f"event {record.position} ({record.type}: {entry.error_type})"


def _list(texts: Sequence[str]) -> str:
    return ", ".join(texts) or "none"


def _compare_by_key(
    shape: TableShape, first: Sequence[Row], second: Sequence[Row]
) -> Iterator[tuple[Difference, tuple[Row, ...]]]:
    names = [column.name for column in shape.key]
    one, other = ({_key(row, names): row for row in rows} for rows in (first, second))
    for key in dict.fromkeys((*one, *other)):
        if key not in other:
            yield Difference(Kind.MISSING, key), (one[key],)
        elif key not in one:
            yield Difference(Kind.EXTRA, key), (other[key],)
        elif columns := _differing(shape, one[key], other[key]):
            yield Difference(Kind.DIFFERENT, key, columns), (one[key], other[key])


def _compare_whole(
    first: Sequence[Row], second: Sequence[Row]
) -> Iterator[tuple[Difference, tuple[Row, ...]]]:
    one, other = (Counter(_write(row) for row in rows) for rows in (first, second))
    rows = {_write(row): row for row in (*first, *second)}
    for kind, left in ((Kind.MISSING, one - other), (Kind.EXTRA, other - one)):
        for text, count in left.items():
            yield Difference(kind, (text,), rows=count), (rows[text],)


def _differing(shape: TableShape, one: Row, other: Row) -> tuple[str, ...]:
    return tuple(
        column.name
        for column in shape.columns
        if one[column.name] != other[column.name]
        and not column.rounds(str(one[column.name]), str(other[column.name]))
    )


def _key(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(_write(row[name]) for name in names)


def _describe(
    shape: TableShape, found: Sequence[tuple[Difference, tuple[Row, ...]]]
) -> Iterator[str]:
    counts: Counter[Kind] = Counter()
    for difference, _ in found:
        counts[difference.kind] += difference.rows
    told = ", ".join(f"{counts[kind]} {kind}" for kind in Kind if counts[kind])
    yield f"table {shape.table}: {sum(counts.values())} rows differ ({told})"
    for difference, rows in found[:MAX_NAMED]:
        yield f"  {_describe_row(shape, difference, rows)}"


def _describe_row(shape: TableShape, difference: Difference, rows: Sequence[Row]) -> str:
    names = [column.name for column in shape.key]
    if not names:
        times = f" {difference.rows} times" if difference.rows > 1 else ""
        return f"{difference.kind}{times}: {_cut(_write(rows[0]))}"
    key = ", ".join(f"{n}={v}" for n, v in zip(names, difference.key, strict=True))
    if difference.kind is not Kind.DIFFERENT:
        rest = {name: value for name, value in rows[0].items() if name not in names}
        return f"{difference.kind}: {key} {_cut(_write(rest))}"
    plain, here = rows
    values = [
        f"{name} is {_cut(_write(here[name]))} instead of {_cut(_write(plain[name]))}"
        for name in difference.columns
    ]
    return f"different: {key}: {', '.join(values)}"


def _write(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[:MAX_VALUE_CHARACTERS] + "..."


def find_changed(first: object, second: object) -> dict[str, tuple[str, str]]:
    """Return the attributes, by name, in which two objects of one class are not alike.

    Those of what an object holds count, too; what has no value of its own, such as a connection,
    does not.
    """
    one, other = _flatten("self", first), _flatten("self", second)
    return {
        name: (_cut(one.get(name, "nothing")), _cut(other.get(name, "nothing")))
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name)
    }


def _flatten(name: str, value: object, depth: int = 0) -> dict[str, str]:
    if depth and isinstance(value, _VALUES):
        return {name: _ADDRESS.sub("", repr(value))}
    held = getattr(value, "__dict__", {}) if depth < MAX_DEPTH else {}
    parts = (_flatten(f"{name}.{inner}", part, depth + 1) for inner, part in dict(held).items())
    return {inner: text for part in parts for inner, text in part.items()}
