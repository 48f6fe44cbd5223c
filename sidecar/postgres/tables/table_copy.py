"""Empty copies of a read model's tables, in another schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidecar.errors import ProjectionError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.postgres.tables.copies import quote


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table is."""

    oid: int
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"


async def require_table(
    connection: RawConnection, table: str, obstacles: Mapping[str, str], consequence: str
) -> Place:
    """Return the place of a table that nothing keeps from being copied.

    Args:
        connection: On the search path of the projection's own statements.
        table: As the projection declares it.
        obstacles: By the column of `find_table` that finds it, what is said of one.
        consequence: What cannot be done, then.

    Raises:
        ProjectionError: It is no plain table on the search path, or has an obstacle.
    """
    found = await connection.fetchrow(sql("find_table"), table)
    if found is None or not found["is_plain"]:
        raise ProjectionError(f"{table!r} is no plain table on the search path.")
    for column, obstacle in obstacles.items():
        if found[column]:
            raise ProjectionError(f"Table {table!r} {obstacle}; {consequence}.")
    return Place(found["oid"], found["schema"], found["name"])


async def copy_shape(
    connection: RawConnection, place: Place, schema: str, *, logged: bool = True
) -> None:
    """Create an empty copy with the same columns, defaults, indexes, checks and grants."""
    source, copy = str(place), f"{quote(schema)}.{quote(place.name)}"
    unlogged = "" if logged else "UNLOGGED "
    await connection.execute(f"CREATE {unlogged}TABLE {copy} (LIKE {source} INCLUDING ALL)")
    rows = [
        *await connection.fetch(sql("list_sequences"), source, schema),
        *await connection.fetch(sql("list_index_names"), source, copy, schema),
        *await connection.fetch(sql("list_grants"), source, schema),
    ]
    for row in rows:
        await connection.execute(row["statement"])


async def copy_key_actions(connection: RawConnection, places: Sequence[Place], schema: str) -> None:
    """Let copies do what foreign keys among the tables do, such as `ON DELETE CASCADE`.

    That a row exists to which another one refers is not checked on them.
    """
    oids = [place.oid for place in places]
    for row in await connection.fetch(sql("list_key_actions"), oids, schema):
        await connection.execute(row["statement"])
