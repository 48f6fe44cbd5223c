"""Events that the log held and holds no more: archived, erased, or deleted by hand."""

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.projections.comparison import Erased


async def find_erased(connection: RawConnection, projection: str) -> Erased | None:
    """Return what the log lost of the part that a projection has passed; None when it is whole.

    Positions that never held an event were recorded when that was proved. It counts the log, and
    where something is missing reads all positions.
    """
    passed = await connection.fetchrow(sql("read_passed"), projection)
    if passed is None or not passed["position"]:
        return None
    if await connection.fetchval(sql("count_erased"), *passed) <= 0:
        return None
    row = await connection.fetchrow(sql("find_erased"), *passed)
    return Erased(*row) if row and row["positions"] else None
