"""Waiting until a read model holds what was appended."""

import asyncio
import time
from typing import Final

import asyncpg

from sidecar.errors import ProjectionError, ReadModelLateError
from sidecar.postgres.block import unknown_projection
from sidecar.postgres.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.projections.ports import State

FIRST_SECONDS: Final = 0.002
LONGEST_SECONDS: Final = 0.05
_GROWTH: Final = 1.5


async def wait_until(
    pool: MeteredPool,
    position: int,
    projection: str,
    *,
    stream: str | None,
    timeout_seconds: float,
) -> None:
    """Return once a projection has come up to a position; asks at most 20 times a second."""
    deadline_mono = time.monotonic() + timeout_seconds
    pause_seconds = FIRST_SECONDS
    while True:
        (row,) = await pool.fetch(sql("read_reached"), projection, position, stream)
        if _has_come(row, projection, position, stream):
            return
        if time.monotonic() + pause_seconds > deadline_mono:
            raise ReadModelLateError(
                f"{projection} is at position {row['reached']} and has not come to {position} "
                f"within {timeout_seconds:g} s."
            )
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * _GROWTH, LONGEST_SECONDS)


def _has_come(row: asyncpg.Record, projection: str, position: int, stream: str | None) -> bool:
    """Return True when the projection has come up to a position.

    Raises:
        ProjectionError: It will not come by itself.
    """
    if row["reached"] is None:
        raise unknown_projection(projection)
    if row["is_parked"]:
        raise ProjectionError(
            f"Stream {stream} of {projection} is parked: an event of it failed, and those behind "
            "it wait; see `sidecar dead-letters list`."
        )
    if row["reached"] >= position:
        return True
    if row["state"] != State.RUNNING:
        raise ProjectionError(f"{projection} is {row['state']}: {row['detail'] or 'on request'}.")
    return False
