"""Marks of read models' tables: what each was when nobody but its projection had changed it."""

from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.query import sql
from sidecar.postgres.tables.table_claims import NAME


async def mark_tables(connection: RawConnection, projection: str, *, settles: bool) -> None:
    """Take the tables of a projection as its own, in the transaction under way.

    Args:
        connection: In a transaction.
        projection: Its tables are those that it declares.
        settles: Whether what was told of them is over, as when they hold another copy.
    """
    await connection.execute(sql("mark_tables"), projection, NAME, settles)


async def mark_after_setup(connection: RawConnection, projection: str) -> None:
    """Take the tables as the setup of a projection left them, in its transaction."""
    await connection.execute(sql("find_replaced"), projection, NAME)
    await connection.execute(sql("drop_marks"), projection)
    await mark_tables(connection, projection, settles=False)


async def accept_changes(connection: RawConnection, projection: str, reason: str) -> list[str]:
    """Take changed tables as they are; return which. The reason is kept."""
    async with read_committed(connection):
        rows = await connection.fetch(sql("settle_changes"), projection, None)
        tables = [row["name"] for row in rows]
        if tables:
            what = f"changed tables: {', '.join(tables)}"
            await connection.execute(sql("keep_acceptance"), projection, what, reason)
        return tables
