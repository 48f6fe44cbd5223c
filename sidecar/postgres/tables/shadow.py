"""A second copy of a read model that nobody reads: filled from the log to be compared with."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import asyncpg

from sidecar.errors import ProjectionError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql, sql_in
from sidecar.postgres.tables.copies import drop_copy, quote, verify_schema
from sidecar.postgres.tables.table_copy import Place, copy_key_actions, copy_shape, require_table

_VERIFY_OBSTACLES: Final = {
    "has_triggers": "has triggers, which would not act on the copy",
    "has_rules": "has rules, which would not act on the copy",
    "has_children": "has tables that inherit from it, whose rows its copy would not show",
    "has_policies": "has row-level security",
}


class Shadow:
    """The copy of one projection's tables, in a schema of its own.

    Nothing of it is written to the server's log, so a crash of the server empties it.

    Attributes:
        schema: Its schema.
        quoted: The same as statements spell it.
        reads: Other tables that filling it has read so far.
    """

    def __init__(self, projection: str) -> None:
        self._projection: Final = projection
        self.schema: Final = verify_schema(projection)
        self.quoted: Final = quote(self.schema)
        self.reads: Final[set[str]] = set()

    def sql(self, name: str) -> str:
        """Return a statement on this copy."""
        return sql_in(self.quoted, name)

    async def create(
        self, connection: RawConnection, verification: int, tables: Sequence[str]
    ) -> None:
        """Make it anew, empty, in the transaction under way.

        Raises:
            ProjectionError: A table cannot be copied.
        """
        await self.drop(connection)
        if grant := await connection.fetchval(sql("find_schema_grant")):
            raise ProjectionError(f"The copy needs a schema of its own: {grant}; then ask again.")
        await connection.execute(f"CREATE SCHEMA {self.quoted}")
        places = await find_places(connection, tables)
        _require_unlike(tables, places)
        for table, place in zip(tables, places, strict=True):
            await require_table(connection, table, _VERIFY_OBSTACLES, "it cannot be verified")
            await copy_shape(connection, place, self.schema, logged=False)
        await copy_key_actions(connection, places, self.schema)
        await connection.execute(self.sql("create_progress"))
        await connection.execute(self.sql("create_withheld"))
        shape = await describe_shape(connection, places)
        begin = self.sql("begin_progress")
        await connection.execute(begin, verification, shape, self._projection)

    async def hold(self, connection: RawConnection) -> None:
        """Wait for who fills or compares it, if it exists; done before a verification is ended.

        Its owner's transactions begin with a lock of the same table, so none waits for another in
        a circle. A lock of its row would not do: who waits for that keeps the table from a drop.
        """
        if not await connection.fetchval(sql("has_progress"), self.quoted):
            return
        with suppress(asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            async with connection.transaction():
                lock = f"LOCK TABLE {self.quoted}.sidecar_progress IN ACCESS EXCLUSIVE MODE"
                await connection.execute(lock)

    async def drop(self, connection: RawConnection) -> None:
        """Drop it, if it exists."""
        await drop_copy(connection, self.schema)


def _require_unlike(tables: Sequence[str], places: Sequence[Place]) -> None:
    """Make sure that one schema can hold a copy of each table."""
    seen: dict[str, str] = {}
    for table, place in zip(tables, places, strict=True):
        if other := seen.get(place.name):
            raise ProjectionError(
                f"Tables {other!r} and {table!r} have one name in two schemas, and the copy has "
                "one schema; they cannot be verified."
            )
        seen[place.name] = table


async def find_places(connection: RawConnection, tables: Sequence[str]) -> list[Place]:
    """Return where the tables of the live copy are.

    Raises:
        ProjectionError: One is no plain table on the search path.
    """
    return [await require_table(connection, table, {}, "") for table in tables]


async def describe_shape(connection: RawConnection, places: Sequence[Place]) -> str:
    """Return the same text for the same tables with the same columns."""
    oids = [place.oid for place in places]
    return str(await connection.fetchval(sql("describe_shape"), oids))
