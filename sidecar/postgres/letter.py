"""Dead letters as people handle them."""

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql


async def request_retry(
    connection: RawConnection,
    *,
    letter_id: int | None = None,
    projection: str | None = None,
    stream: str | None = None,
) -> list[int]:
    """Ask the workers to take parked streams up again and return the letters asked for.

    Args:
        connection: Any connection to the database.
        letter_id: Only this letter.
        projection: Only letters of this projection.
        stream: Only letters of this stream.
    """
    rows = await connection.fetch(sql("request_retry"), letter_id, projection, stream)
    return sorted(row["id"] for row in rows)
