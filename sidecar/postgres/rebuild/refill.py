"""Rebuilding in place: a read model is emptied, and its own loop fills it again.

For tables that a copy cannot replace. Readers see an incomplete read model until it has caught up.
"""

from collections.abc import Sequence

import asyncpg

from sidecar.errors import ProjectionError
from sidecar.postgres.checkpoints.block import find_unknown
from sidecar.postgres.checkpoints.start_position import find_position
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.log.erased import find_erased
from sidecar.postgres.query import sql
from sidecar.postgres.tables.table_claims import require_unshared
from sidecar.postgres.tables.table_copy import Place, require_table
from sidecar.postgres.tables.table_marks import mark_tables
from sidecar.projections.comparison import describe_erased
from sidecar.projections.log_start import Start

_CONSEQUENCES = {
    "c": "would be deleted with them",
    "n": "would lose what they refer to",
    "d": "would refer to something else",
}


async def describe_refill(connection: RawConnection, projection: str) -> str:
    """Return what becomes of a read model that is rebuilt in place.

    Raises:
        ProjectionError: It cannot be.
    """
    async with read_committed(connection):
        places = await _find_places(
            connection, projection, await _read_live(connection, projection)
        )
        await _refuse_referred(connection, projection, places)
    counts = [
        (place, await connection.fetchval(f"SELECT count(*) FROM ONLY {place}"))  # noqa: S608
        for place in places
    ]
    rows = ", ".join(f"{count} of {place.name}" for place, count in counts)
    told = (
        f"All rows of {projection} are deleted ({rows}) and made again from the log, by its own "
        "loop. Until it has caught up, readers see a part of them. Triggers on the tables run for "
        "each row, and what defaults hand out, such as ids and times, is handed out anew."
    )
    erased = await find_erased(connection, projection)
    return f"{told} But {describe_erased(erased)}: those rows do not come back." if erased else told


async def refill(connection: RawConnection, projection: str, start: Start | None = None) -> None:
    """Empty a projection's tables and set it back to its start, in one transaction.

    That is before the first event, unless it began elsewhere, or is told where to. A batch under
    way ends first. Open dead letters are closed, since their events are applied again; discarded
    ones are passed over.

    Raises:
        ProjectionError: The projection is unknown, is a handler, declares no tables, is being
            rebuilt beside, shares a table, or rows of other tables refer to its rows; nothing was
            changed.
    """
    async with read_committed(connection):
        await connection.execute(sql("lift_limits"), True)
        places = await _find_places(
            connection, projection, await _read_live(connection, projection)
        )
        await _refuse_referred(connection, projection, places)
        await _empty(connection, projection, places)
        if start is not None:
            position = await find_position(connection, start)
            await connection.execute(sql("start_copy_at"), projection, "live", position)
        await connection.execute(sql("end_handled_ranges"), projection)
        await connection.execute(sql("forget_handled_ranges"), projection, "live")
        await connection.execute(sql("resolve_rebuilt_letters"), projection, "applied by a rebuild")
        await connection.execute(sql("settle_deleted_letters"), projection)
        await connection.execute(sql("outdate_verifications"), projection)
        await connection.execute(sql("set_back_to_refill"), projection)
        await mark_tables(connection, projection, settles=True)


async def _read_live(connection: RawConnection, projection: str) -> Sequence[str]:
    """Lock the checkpoint, which ends the batch under way, and return the tables."""
    rows = await connection.fetch(sql("read_live_rows"), projection)
    if not rows:
        raise await find_unknown(connection, projection)
    if not rows[0]["tables"]:
        raise ProjectionError(
            f"{projection} declares no `tables`, so there is nothing to empty. Name its read "
            "model's tables in the class, start the workers once, and try again."
        )
    if await connection.fetch(sql("read_rebuild_rows"), projection):
        raise ProjectionError(
            f"A rebuild of {projection} is under way beside the live copy; first drop it: "
            f"`sidecar projections rebuild {projection} --cancel`."
        )
    await require_unshared(connection, projection)
    tables: Sequence[str] = rows[0]["tables"]
    return tables


async def _find_places(
    connection: RawConnection, projection: str, tables: Sequence[str]
) -> list[Place]:
    obstacle = {"has_policies": "has row-level security, which may hide rows"}
    consequence = f"{projection} cannot be rebuilt in place"
    return [await require_table(connection, each, obstacle, consequence) for each in tables]


async def _refuse_referred(
    connection: RawConnection, projection: str, places: Sequence[Place]
) -> None:
    """Make sure that no row of another table refers to a row that is to be deleted.

    Raises:
        ProjectionError: One does.
    """
    for row in await connection.fetch(sql("list_referrers"), [place.oid for place in places]):
        table, columns = row["place"], row["columns"]
        # Against a row that comes just now, which a cascade would take along.
        await connection.execute(f"LOCK TABLE {table} IN SHARE MODE")
        filled = f"SELECT EXISTS (SELECT FROM {table} WHERE ({columns}) IS NOT NULL)"  # noqa: S608
        if await connection.fetchval(filled):
            consequence = _CONSEQUENCES.get(row["action"], "keep them from being deleted")
            raise ProjectionError(
                f"Rows of {table} refer to rows of {row['target']} and {consequence}. Nothing was "
                f"changed. Empty {table}, or drop its foreign key {row['name']} for as long as "
                f"{projection} fills again."
            )


async def _empty(connection: RawConnection, projection: str, places: Sequence[Place]) -> None:
    """Delete all rows in one statement, after which keys between the tables are checked."""
    first, *others = places
    parts = ", ".join(f"d{n} AS (DELETE FROM ONLY {place})" for n, place in enumerate(others))  # noqa: S608
    try:
        await connection.execute(f"{f'WITH {parts} ' if parts else ''}DELETE FROM ONLY {first}")  # noqa: S608
    except asyncpg.ForeignKeyViolationError as error:
        raise ProjectionError(
            f"Rows of {error.table_name} keep rows of {projection} from being deleted "
            f"({error.constraint_name}). Nothing was changed."
        ) from error
