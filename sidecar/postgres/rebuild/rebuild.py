"""Rebuilding a read model beside the live one, and swapping it in.

The new copy's tables live in a schema of their own, put in front of the search path while the
projection fills them, so that its handler's statements stay as they are. The swap moves the old
tables out and the new ones in within one transaction that holds the live checkpoint.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg

from sidecar.errors import ProjectionError
from sidecar.postgres.checkpoints.block import find_unknown
from sidecar.postgres.checkpoints.start_position import find_position
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.query import sql
from sidecar.postgres.schema import work_channel
from sidecar.postgres.tables.copies import drop_copy, new_schema, old_schema, quote
from sidecar.postgres.tables.table_claims import require_same_tables, require_unshared
from sidecar.postgres.tables.table_copy import copy_shape, require_table
from sidecar.postgres.tables.table_marks import mark_tables
from sidecar.projections.log_start import Start

# A swap waits for readers this long, and new readers wait behind it as long; then it gives up and
# tries again.
SWAP_LOCK_TIMEOUT: Final = "80ms"
# The new copy may be so far behind the live one when it takes over; it catches up in a moment.
MAX_SWAP_LAG_EVENTS: Final = 1000

OBSTACLES: Final = {
    "has_triggers": "has triggers",
    "has_policies": "has row-level security",
    "has_foreign_keys": "takes part in foreign keys",
    "has_rules": "has rules",
    "has_children": "has tables that inherit from it",
    "is_child": "is a partition of another table, or inherits from one",
    "has_views": "is read by views, which would go on reading the old copy",
}
_CONSEQUENCE: Final = "it cannot be rebuilt by swapping"


async def start_rebuild(
    connection: RawConnection,
    projection: str,
    start: Start | None = None,
    *,
    is_approved: bool = False,
) -> None:
    """Begin a rebuild, or resume one that halted; workers do the rest.

    One whose tables are no longer those declared begins anew.

    Args:
        connection: In no transaction.
        projection: Its name.
        start: Where the new copy starts; None for where the live one did.
        is_approved: It is swapped in even if rows of the live tables vanish; else it halts before.

    Raises:
        ProjectionError: The projection is unknown, declares no tables, or a table cannot be copied
            or is declared by another projection as well; or it is to start elsewhere than a rebuild
            that is under way, or ahead of the log.
    """
    async with read_committed(connection):
        # Without a lock on its rows, which would wait for the running batches.
        if await connection.fetchval(sql("has_rebuild"), projection):
            _refuse_start(projection, start)
            await connection.execute(sql("resume_preview"), projection, is_approved)
            await connection.execute(sql("resume_rebuild"), projection)
            return
        # This locks the live rows: of two callers the second finds the rebuild of the first.
        tables = await _read_tables(connection, projection)
        if await connection.fetchval(sql("has_rebuild"), projection):
            _refuse_start(projection, start)
            return
        await require_unshared(connection, projection)
        schema = new_schema(projection)
        await drop_copy(connection, schema)
        await connection.execute(f"CREATE SCHEMA {quote(schema)}")
        for table in tables:
            place = await require_table(connection, table, OBSTACLES, _CONSEQUENCE)
            await copy_shape(connection, place, schema)
        await _forget_rebuild(connection, projection)
        await connection.execute(sql("begin_preview"), projection, is_approved)
        await connection.execute(sql("create_rebuild"), projection)
        await connection.execute(sql("notify"), work_channel())
        if start is not None:
            position = await find_position(connection, start)
            await connection.execute(sql("start_copy_at"), projection, "rebuild", position)


def _refuse_start(projection: str, start: Start | None) -> None:
    if start is not None:
        raise ProjectionError(
            f"A rebuild of {projection} is under way; drop it before one that starts elsewhere: "
            f"`sidecar projections rebuild {projection} --cancel`."
        )


async def cancel_rebuild(connection: RawConnection, projection: str) -> None:
    """Drop the new copy; the live one stays as it is.

    Raises:
        ProjectionError: No rebuild is under way.
    """
    async with read_committed(connection):
        if not await connection.fetch(sql("read_rebuild_rows"), projection):
            raise ProjectionError(f"No rebuild of {projection} is under way.")
        await _forget_rebuild(connection, projection)
        await connection.execute(sql("forget_preview"), projection)
        await drop_copy(connection, new_schema(projection))


async def drop_old_copy(connection: RawConnection, projection: str) -> None:
    """Drop the old copy that the last swap kept.

    Raises:
        ProjectionError: There is none.
    """
    schema = old_schema(projection)
    if not await connection.fetchval(sql("has_schema"), schema):
        raise ProjectionError(f"There is no old copy of {projection}.")
    await drop_copy(connection, schema)


async def swap(connection: RawConnection, projection: str) -> bool:
    """Swap the new copy in, if it has caught up, may be, and the tables are free at once.

    It may once it was compared with the live one, and approved where rows vanish.

    One transaction: the live checkpoints are locked, the tables change places, positions are taken
    over, dead letters are closed, since the new copy applied their events.

    Returns:
        Whether it was swapped; if not, nothing was changed and the caller tries again.

    Raises:
        ProjectionError: It can never be: the tables are no longer those that it was begun with, or
            another projection declares one of them by now.
    """
    # Checked before anything is locked: a lock on the live checkpoints while a part of the new copy
    # is in a batch would stop the live copy for as long.
    if not await connection.fetchval(sql("may_swap"), projection, MAX_SWAP_LAG_EVENTS):
        return False
    try:
        async with read_committed(connection):
            await connection.execute(sql("lift_limits"), True)
            if not await _is_caught_up(connection, projection):
                return False
            await _swap(connection, projection)
    except asyncpg.LockNotAvailableError:
        return False
    return True


async def _swap(connection: RawConnection, projection: str) -> None:
    await require_same_tables(connection, projection)
    await require_unshared(connection, projection)
    tables = await _read_tables(connection, projection)
    await connection.execute(sql("take_over_positions"), projection)
    await connection.execute(sql("resolve_rebuilt_letters"), projection, "applied by a rebuild")
    await connection.execute(sql("settle_deleted_letters"), projection)
    await connection.execute(sql("forget_handled_ranges"), projection, "live")
    await connection.execute(sql("take_over_handled_ranges"), projection)
    await connection.execute(sql("outdate_verifications"), projection)
    await connection.execute(sql("delete_rebuild"), projection)
    # Last, since readers wait from here to the commit.
    await connection.execute(f"SET LOCAL lock_timeout = '{SWAP_LOCK_TIMEOUT}'")
    await _exchange(connection, projection, tables)
    await mark_tables(connection, projection, settles=True)


async def replay_handler(
    connection: RawConnection, handler: str, start: Start | None = None
) -> None:
    """Let a handler handle every event again from a start on, with all its effects.

    Its dead letters are closed: the loop leaves out the events of a parked stream, and a retry
    begins at the one that failed, so that those before it would be left out.

    Raises:
        ProjectionError: There is no such handler, or the start is ahead of the log.
    """
    async with read_committed(connection):
        if start is not None:
            position = await find_position(connection, start)
            await connection.execute(sql("start_copy_at"), handler, "live", position)
        if not await connection.fetch(sql("replay_handler"), handler):
            raise ProjectionError(
                f"There is no handler {handler!r}; see `sidecar projections list`."
            )
        await connection.execute(sql("end_handled_ranges"), handler)
        await connection.execute(sql("forget_handled_ranges"), handler, "live")
        await connection.execute(sql("resolve_rebuilt_letters"), handler, "heard again in a replay")
        await connection.execute(sql("settle_deleted_letters"), handler)


async def _forget_rebuild(connection: RawConnection, projection: str) -> None:
    await connection.execute(sql("forget_handled_ranges"), projection, "rebuild")
    await connection.execute(sql("delete_rebuild"), projection)


async def _is_caught_up(connection: RawConnection, projection: str) -> bool:
    """Lock the rows of both copies, and ask again."""
    live = await connection.fetch(sql("read_live_rows"), projection)
    new = await connection.fetch(sql("read_rebuild_rows"), projection)
    may_swap = await connection.fetchval(sql("may_swap"), projection, MAX_SWAP_LAG_EVENTS)
    return len(live) == len(new) and bool(may_swap)


async def _exchange(connection: RawConnection, projection: str, tables: Sequence[str]) -> None:
    new, old = quote(new_schema(projection)), quote(old_schema(projection))
    await drop_copy(connection, old_schema(projection))
    await connection.execute(f"CREATE SCHEMA {old}")
    for table in tables:
        place = await connection.fetchrow(sql("find_table"), table)
        if place is None:
            raise ProjectionError(f"Table {table!r} of {projection} is gone.")
        schema, name = quote(place["schema"]), quote(place["name"])
        await connection.execute(f"ALTER TABLE {schema}.{name} SET SCHEMA {old}")
        await connection.execute(f"ALTER TABLE {new}.{name} SET SCHEMA {schema}")
    await connection.execute(f"DROP SCHEMA {new} CASCADE")


async def _read_tables(connection: RawConnection, projection: str) -> Sequence[str]:
    rows = await connection.fetch(sql("read_live_rows"), projection)
    if not rows:
        raise await find_unknown(connection, projection)
    tables: Sequence[str] = rows[0]["tables"]
    if not tables:
        raise ProjectionError(
            f"{projection} declares no `tables`, so there is nothing to build a copy of. Name its "
            "read model's tables in the class, start the workers once, and try again."
        )
    return tables
