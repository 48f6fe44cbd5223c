"""Dead letters that somebody deleted: traced by a trigger, told until a person settles it."""

from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.query import sql
from sidecar.projections.deleted_letters import DeletedLetters


async def list_deleted(connection: RawConnection) -> dict[str, DeletedLetters]:
    """Return those that are not settled, by projection."""
    return {
        row["projection"]: DeletedLetters(
            row["letters"], row["events"], tuple(row["roles"]), row["last_at"], row["kind"]
        )
        for row in await connection.fetch(sql("sample_deleted_letters"))
    }


async def accept_deleted(connection: RawConnection, projection: str, reason: str) -> int:
    """Accept that a projection lacks the events of deleted dead letters; return how many.

    The reason is kept.
    """
    async with read_committed(connection):
        rows = await connection.fetch(sql("settle_deleted_letters"), projection)
        events = sum(int(row["events"]) for row in rows)
        if rows:
            what = f"{events} events of {len(rows)} deleted dead letters"
            await connection.execute(sql("keep_acceptance"), projection, what, reason)
        return events
