"""Comparing a table with its copy, a part at a time, in the transaction that is open.

Rows are paired by a key that no two share, and compared as they are stored: equality of values
takes 1.0 for 1.00, compares boxes by their area, and knows none for json. Where there is no key,
whole rows are counted.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Final

import asyncpg
import msgspec

from sidecar.postgres.codec_aware import without_codecs
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.postgres.tables.copies import quote
from sidecar.postgres.tables.table_shape import Column, TableShape
from sidecar.projections.comparison import MAX_DIFFERENCES, Difference, Kind, Part

FIRST_ROWS: Final = 10_000
MIN_ROWS: Final = 1_000
MAX_ROWS: Final = 50_000
# A statement that waits for a lock on the table makes its readers wait as long as a part takes.
SHORT_SECONDS: Final = 0.05
LONG_SECONDS: Final = 0.2
BUCKETS: Final = 4096
MAX_CHARACTERS: Final = 2000
"""So many are shown of a row without a key."""


class Progress(msgspec.Struct, frozen=True):
    """Up to where a read model was compared.

    Attributes:
        table: Index of the table that is next.
        key: The last key of it that was compared; None before the first.
    """

    table: int = 0
    key: tuple[str, ...] | None = None


class TableComparer:
    """Compares one table with its copy in another schema. Use one for all parts of it.

    Args:
        shape: Of the table.
        schema: Where the copy is.
    """

    def __init__(self, shape: TableShape, schema: str) -> None:
        self._shape: Final = shape
        self._live: Final = str(shape.place)
        self._copy: Final = f"{quote(schema)}.{quote(shape.place.name)}"
        self._limit = FIRST_ROWS

    async def compare(self, connection: RawConnection, after: tuple[str, ...] | None) -> Part:
        """Compare the part behind a key; of a table without a key, all of it."""
        with without_codecs(connection):
            # What the role's settings cut off must neither hide a difference nor end this.
            await connection.execute(sql("compare_whole_values"))
            return await self._compare(connection, after)

    async def _compare(self, connection: RawConnection, after: tuple[str, ...] | None) -> Part:
        if not self._shape.key:
            return await self._compare_whole(connection)
        began_mono = time.monotonic()
        last = await self._find_bound(connection, after)
        part = await self._compare_between(connection, after, last)
        self._adapt(time.monotonic() - began_mono)
        return part

    def _adapt(self, seconds: float) -> None:
        if seconds < SHORT_SECONDS:
            self._limit = min(self._limit * 2, MAX_ROWS)
        elif seconds > LONG_SECONDS:
            self._limit = max(self._limit // 2, MIN_ROWS)

    async def _find_bound(
        self, connection: RawConnection, after: tuple[str, ...] | None
    ) -> tuple[str, ...] | None:
        """Return the lower of both copies' keys so many rows on; None when there are fewer."""
        key = ", ".join(column.quoted for column in self._shape.key)
        texts = ", ".join(f"{column.quoted}::text" for column in self._shape.key)
        where, values = self._write_range(after, None)
        sides = " UNION ALL ".join(
            f"(SELECT {key} FROM {table} {where} ORDER BY {key} OFFSET {self._limit - 1} LIMIT 1)"  # noqa: S608
            for table in (self._live, self._copy)
        )
        row = await connection.fetchrow(
            f"SELECT {texts} FROM ({sides}) AS b ORDER BY {key} LIMIT 1",  # noqa: S608
            *values,
        )
        return None if row is None else tuple(row)

    async def _compare_between(
        self,
        connection: RawConnection,
        after: tuple[str, ...] | None,
        last: tuple[str, ...] | None,
    ) -> Part:
        where, values = self._write_range(after, last)
        rows = await connection.fetchval(f"SELECT count(*) FROM {self._live} {where}", *values)  # noqa: S608
        found = await connection.fetch(self._write_join(where), *values)
        return Part(rows, [self._read(row) for row in found], last)

    def _write_range(
        self, after: tuple[str, ...] | None, last: tuple[str, ...] | None
    ) -> tuple[str, list[str]]:
        """Return a condition on the key, and its values as text."""
        key = ", ".join(column.quoted for column in self._shape.key)
        conditions: list[str] = []
        values: list[str] = []
        for operator, bound in ((">", after), ("<=", last)):
            if bound is not None:
                numbers = range(len(values) + 1, len(values) + len(bound) + 1)
                types = [column.type for column in self._shape.key]
                casts = ", ".join(
                    f"${number}::text::{kind}" for number, kind in zip(numbers, types, strict=True)
                )
                conditions.append(f"ROW({key}) {operator} ROW({casts})")
                values += bound
        return ("WHERE " + " AND ".join(conditions)) if conditions else "", values

    def _write_join(self, where: str) -> str:
        """Return the statement that finds rows that are not as those of the copy."""
        shape = self._shape
        columns = ", ".join(column.quoted for column in shape.columns)
        first = shape.key[0].quoted
        pairs = " AND ".join(f"l.{c.quoted} = s.{c.quoted}" for c in shape.key)
        key = ", ".join(f"coalesce(l.{c.quoted}, s.{c.quoted})::text" for c in shape.key)
        changes = ", ".join(map(_write_change, shape.columns))
        floats = [c for c in shape.columns if c.tolerance is not None]
        texts = ", ".join(f"{side}.{c.quoted}::text" for c in floats for side in "ls")
        return (
            f"SELECT ARRAY[{key}] AS key, l.{first} IS NULL AS is_missing, "  # noqa: S608
            f"s.{first} IS NULL AS is_extra, ARRAY[{changes}] AS changes, "
            f"ARRAY[{texts}]::text[] AS floats "
            f"FROM (SELECT {columns} FROM {self._live} {where}) AS l "
            f"FULL JOIN (SELECT {columns} FROM {self._copy} {where}) AS s ON {pairs} "
            f"WHERE l.{first} IS NULL OR s.{first} IS NULL OR l.*::record *<> s.*::record"
        )

    def _read(self, row: asyncpg.Record) -> Difference:
        key = tuple(row["key"])
        if row["is_missing"]:
            return Difference(Kind.MISSING, key)
        if row["is_extra"]:
            return Difference(Kind.EXTRA, key)
        kinds = dict(self._classify(row["changes"], row["floats"]))
        for kind in (Kind.DIFFERENT, Kind.ROUNDING):
            if names := tuple(name for name, each in kinds.items() if each is kind):
                return Difference(kind, key, names)
        return Difference(Kind.OTHER_FORM, key, tuple(kinds))

    def _classify(
        self, changes: Sequence[str | None], floats: Sequence[str | None]
    ) -> Iterator[tuple[str, Kind]]:
        pairs = iter(zip(floats[::2], floats[1::2], strict=True))
        for column, change in zip(self._shape.columns, changes, strict=True):
            pair = next(pairs) if column.tolerance is not None else None
            if change is None:
                continue
            kind = Kind(change)
            if kind is Kind.DIFFERENT and pair is not None and column.rounds(*pair):
                kind = Kind.ROUNDING
            yield column.name, kind

    async def _compare_whole(self, connection: RawConnection) -> Part:
        """Count equal rows of both copies, where the hashes of rows do not add up to the same."""
        columns = ", ".join(column.quoted for column in self._shape.columns)
        live, copy = (
            f"(SELECT r::text AS text FROM (SELECT {columns} FROM {table}) AS r)"  # noqa: S608
            for table in (self._live, self._copy)
        )
        rows = await connection.fetchval(f"SELECT count(*) FROM {self._live}")  # noqa: S608
        live_sums, copy_sums = (
            f"(SELECT hash & {BUCKETS - 1} AS bucket, count(*) AS rows, sum(hash::numeric) AS sum "  # noqa: S608
            f"FROM (SELECT hashtextextended(text, 0) AS hash FROM {table} AS t) AS h GROUP BY 1)"
            for table in (live, copy)
        )
        buckets = await connection.fetch(
            f"SELECT bucket FROM {live_sums} AS l FULL JOIN {copy_sums} AS s USING (bucket) "  # noqa: S608
            "WHERE (l.rows, l.sum) IS DISTINCT FROM (s.rows, s.sum)"
        )
        if not buckets:
            return Part(rows, [], None)
        # All are counted, but only so many travel here: there may be as many as the table has rows.
        found = await connection.fetch(
            "SELECT left(text, $2) AS text, number, "  # noqa: S608
            "sum(number) FILTER (WHERE number > 0) OVER ()::bigint AS extra, "
            "-sum(number) FILTER (WHERE number < 0) OVER ()::bigint AS missing FROM ("
            "SELECT text, sum(number)::bigint AS number FROM ("
            f"SELECT text, 1 AS number FROM {live} AS l UNION ALL SELECT text, -1 FROM {copy} AS s"
            f") AS sides WHERE hashtextextended(text, 0) & {BUCKETS - 1} = ANY($1) "
            "GROUP BY text HAVING sum(number) <> 0) AS d ORDER BY text LIMIT $3",
            [row["bucket"] for row in buckets],
            MAX_CHARACTERS,
            MAX_DIFFERENCES,
        )
        differences = [_count(row["text"], row["number"]) for row in found]
        return Part(rows, differences, None, _count_rest(found, differences))


def _write_change(column: Column) -> str:
    live, copy = f"l.{column.quoted}", f"s.{column.quoted}"
    equal = f" WHEN {live} = {copy} THEN 'other_form'" if column.has_equality else ""
    # A collation may take texts for equal that are not.
    live_text, copy_text = (f'({side}::text COLLATE "C")' for side in (live, copy))
    return (
        f"CASE WHEN {live_text} IS NOT DISTINCT FROM {copy_text} THEN NULL{equal} "
        "ELSE 'different' END"
    )


def _count_rest(
    rows: Sequence[asyncpg.Record], differences: Sequence[Difference]
) -> dict[Kind, int]:
    """Return how many rows differ beside those that were fetched."""
    if not rows:
        return {}
    totals = {Kind.EXTRA: rows[0]["extra"] or 0, Kind.MISSING: rows[0]["missing"] or 0}
    rest = {
        kind: total - sum(each.rows for each in differences if each.kind is kind)
        for kind, total in totals.items()
    }
    return {kind: rows for kind, rows in rest.items() if rows}


def _count(text: str, number: int) -> Difference:
    kind = Kind.EXTRA if number > 0 else Kind.MISSING
    return Difference(kind, (text,), rows=abs(number))
