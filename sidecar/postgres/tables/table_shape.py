"""By which key, and in which columns, the tables of a read model are compared with a copy."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.postgres.tables.copies import quote
from sidecar.postgres.tables.table_copy import Place
from sidecar.projections.comparison import TableReport
from sidecar.projections.rounding import is_rounding

_UNSTEADY: Final = "its default gives each copy another value"
_FOLLOWS: Final = "it refers to a column whose default gives each copy another value"
_IGNORED: Final = "ignored on request"


class Column(msgspec.Struct, frozen=True):
    """One column of a table, as `list_columns` describes it.

    Attributes:
        tolerance: Relative difference of its floating-point numbers that another order of
            additions explains; None where it has none.
        is_unsteady: Its default gives each copy another value.
        follows_unsteady: It is such a column, or refers to one of another copied table.
        has_equality: Its values can be compared otherwise than as they are stored.
    """

    name: str
    type: str
    tolerance: float | None
    is_unsteady: bool
    follows_unsteady: bool
    has_equality: bool

    @property
    def quoted(self) -> str:
        """Its name as statements spell it."""
        return quote(self.name)

    def rounds(self, one: str | None, other: str | None) -> bool:
        """Tell whether two of its values differ by rounding alone."""
        if self.tolerance is None or one is None or other is None:
            return False
        return is_rounding(one, other, self.tolerance)


@dataclass(frozen=True, slots=True)
class TableShape:
    """How one table is compared.

    Attributes:
        table: As the projection declares it.
        place: Where the live one is.
        columns: Those that are compared.
        key: By which rows are paired; empty without any.
        left_out: Why others are not compared, by name.
    """

    table: str
    place: Place
    columns: tuple[Column, ...]
    key: tuple[Column, ...]
    left_out: dict[str, str]

    @property
    def report(self) -> TableReport:
        """What is known before any row was compared."""
        key = tuple(column.name for column in self.key)
        return TableReport(table=self.table, key=key, left_out=self.left_out)


async def read_shapes(
    connection: RawConnection,
    tables: Sequence[str],
    places: Sequence[Place],
    ignored: Collection[str] = (),
) -> list[TableShape]:
    """Return how the tables of a read model are compared.

    Args:
        connection: On which they are looked up.
        tables: As the projection declares them.
        places: Where they are, in the same order.
        ignored: Columns that are left out.
    """
    oids = [place.oid for place in places]
    return [
        await _read_shape(connection, table, place, ignored, oids)
        for table, place in zip(tables, places, strict=True)
    ]


async def _read_shape(
    connection: RawConnection,
    table: str,
    place: Place,
    ignored: Collection[str],
    oids: Sequence[int],
) -> TableShape:
    rows = await connection.fetch(sql("list_columns"), place.oid, oids)
    columns = [msgspec.convert(dict(row), Column) for row in rows]
    left_out = {column.name: _FOLLOWS for column in columns if column.follows_unsteady}
    left_out |= {column.name: _UNSTEADY for column in columns if column.is_unsteady}
    left_out |= {column.name: _IGNORED for column in columns if column.name in ignored}
    compared = {column.name: column for column in columns if column.name not in left_out}
    keys = [row["columns"] for row in await connection.fetch(sql("list_unique_keys"), place.oid)]
    names = next((key for key in keys if compared.keys() >= set(key)), ())
    key = tuple(compared[name] for name in names)
    return TableShape(table, place, tuple(compared.values()), key, left_out)
