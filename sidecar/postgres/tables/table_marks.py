"""Marks of read models' tables: what each was when nobody but its projection had changed it."""

from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.lease import is_any_held
from sidecar.postgres.query import sql
from sidecar.postgres.tables.table_claims import NAME, find_filled
from sidecar.postgres.tables.table_search import holds_rows_before
from sidecar.postgres.tables.table_watch import log_change
from sidecar.projections.table_change import Change, TableChange


async def mark_tables(connection: RawConnection, projection: str, *, settles: bool) -> None:
    """Take the tables of a projection as its own, in the transaction under way.

    Args:
        connection: In a transaction.
        projection: Its tables are those that it declares.
        settles: Whether what was told of them is over, as when they hold another copy.
    """
    await connection.execute(sql("mark_tables"), projection, NAME, settles)


async def mark_after_setup(connection: RawConnection, projection: str) -> None:
    """Take the tables as the setup of a projection left them, in its transaction.

    A table that it begins to fill now, or fills again, and that lacks what it has handled, is told.
    """
    await connection.execute(sql("lock_marks"), projection)
    await connection.execute(sql("find_replaced"), projection, NAME)
    await connection.execute(sql("leave_tables"), projection)
    unfilled = await _find_unfilled(connection, projection)
    taken = await connection.fetch(sql("take_up_tables"), projection, [])
    await mark_tables(connection, projection, settles=False)
    if unfilled:
        taken += await connection.fetch(sql("take_up_tables"), projection, unfilled)
    for row in taken:
        log_change(projection, TableChange(row["name"], Change(row["change"]), row["changed_at"]))


async def _find_unfilled(connection: RawConnection, projection: str) -> list[str]:
    """Return the tables that a projection which runs already did not declare before.

    Those are left out that its setup has filled, and those that it had under another name.
    """
    rows = await connection.fetch(sql("find_new_tables"), projection)
    if not rows:
        return []
    has_run = any(row["has_run"] for row in rows)
    if not has_run and not await is_any_held(connection, projection, rows):
        return []
    new = sorted({row["name"] for row in rows})
    filled = await find_filled(connection, new)
    strange = await connection.fetch(sql("find_strange_tables"), projection, NAME, filled)
    return [name for name in new if name not in filled] + [
        row["name"] for row in strange if await holds_rows_before(connection, row["oid"])
    ]


async def accept_changes(connection: RawConnection, projection: str, reason: str) -> list[str]:
    """Take changed tables as they are; return which. The reason is kept."""
    async with read_committed(connection):
        rows = await connection.fetch(sql("settle_changes"), projection, None)
        tables = [row["name"] for row in rows]
        if tables:
            what = f"changed tables: {', '.join(tables)}"
            await connection.execute(sql("keep_acceptance"), projection, what, reason)
        return tables
