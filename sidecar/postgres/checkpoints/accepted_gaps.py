"""Events that a projection passed over and does without, by a person's decision."""

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.query import sql


async def list_accepted(
    connection: "RawConnection | MeteredPool", projection: str, after: int
) -> frozenset[int]:
    """Return their positions above one; every copy that is filled from the log leaves them out."""
    rows = await connection.fetch(sql("list_accepted_positions"), projection, after)
    return frozenset(row["position"] for row in rows)
