"""Comparing a live table with its new copy: counts, and the first keys of each kind of change.

A rebuild may change every row, so that unlike in a verification only a few are fetched. A change of
a value's form counts as a change.
"""

from typing import Final

import asyncpg
from typing_extensions import override

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.tables.table_comparison import MAX_CHARACTERS, TableComparer
from sidecar.projections.comparison import Difference, Kind, Part
from sidecar.projections.preview import MAX_KEYS

_SIDES: Final = {
    Kind.MISSING: "is_missing",
    Kind.EXTRA: "is_extra",
    Kind.DIFFERENT: "NOT is_missing AND NOT is_extra",
}


class CountingComparer(TableComparer):
    """Counts what differs, where the other one fetches it."""

    @override
    async def _compare_between(
        self,
        connection: RawConnection,
        after: tuple[str, ...] | None,
        last: tuple[str, ...] | None,
    ) -> Part:
        where, values = self._write_range(after, last)
        found = await connection.fetchrow(self._write_counts(where), *values)
        return _read(found, last)

    def _write_counts(self, where: str) -> str:
        shape = self._shape
        columns = ", ".join(column.quoted for column in shape.columns)
        first = shape.key[0].quoted
        pairs = " AND ".join(f"l.{c.quoted} = s.{c.quoted}" for c in shape.key)
        key = ", ".join(f"coalesce(l.{c.quoted}, s.{c.quoted})::text" for c in shape.key)
        counts = ", ".join(
            f"count(*) FILTER (WHERE {side}) AS {kind}, "
            f"(array_agg(key) FILTER (WHERE {side}))[1:{MAX_KEYS}][:] AS {kind}_keys"
            for kind, side in _SIDES.items()
        )
        return (
            f"SELECT {counts} FROM ("  # noqa: S608
            f"SELECT ARRAY[{key}] AS key, l.{first} IS NULL AS is_missing, "
            f"s.{first} IS NULL AS is_extra "
            f"FROM (SELECT {columns} FROM {self._live} {where}) AS l "
            f"FULL JOIN (SELECT {columns} FROM {self._copy} {where}) AS s ON {pairs} "
            f"WHERE l.{first} IS NULL OR s.{first} IS NULL OR l.*::record *<> s.*::record) AS d"
        )

    @override
    async def _compare_whole(self, connection: RawConnection) -> Part:
        """Count the rows that are in one copy only; of equal ones the surplus."""
        columns = ", ".join(column.quoted for column in self._shape.columns)
        live, copy = (
            f"SELECT r::text AS text, {number} AS number FROM (SELECT {columns} FROM {table}) AS r"  # noqa: S608
            for table, number in ((self._live, 1), (self._copy, -1))
        )
        found = await connection.fetchrow(
            "SELECT 0 AS different, "  # noqa: S608
            "coalesce(sum(number) FILTER (WHERE number > 0), 0)::bigint AS extra, "
            "coalesce(sum(-number) FILTER (WHERE number < 0), 0)::bigint AS missing, "
            "NULL AS different_keys, "
            f"(array_agg(line) FILTER (WHERE number > 0))[1:{MAX_KEYS}][:] AS extra_keys, "
            f"(array_agg(line) FILTER (WHERE number < 0))[1:{MAX_KEYS}][:] AS missing_keys "
            f"FROM (SELECT ARRAY[left(text, {MAX_CHARACTERS})] AS line, "
            "sum(number)::bigint AS number "
            f"FROM ({live} UNION ALL {copy}) AS b "
            "GROUP BY text HAVING sum(number) <> 0) AS d"
        )
        return _read(found, None)


def _read(row: asyncpg.Record | None, last: tuple[str, ...] | None) -> Part:
    """Return a part, with one row for each key that was fetched; the rest is counted."""
    if row is None:
        return Part(0, [], last)
    found = [
        Difference(kind, tuple(key)) for kind in _SIDES for key in sorted(row[f"{kind}_keys"] or ())
    ]
    rest = {kind: row[kind.value] - sum(each.kind is kind for each in found) for kind in _SIDES}
    more = {kind: rows for kind, rows in rest.items() if rows}
    # How many rows are equal is not asked: to count them would take half as long again.
    return Part(0, found, last, more)
