"""Verifications: asked for, cancelled, and what they found."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from sidecar.errors import ProjectionError, UsageError
from sidecar.postgres.checkpoints.block import find_unknown
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.lease import key_of, list_held
from sidecar.postgres.query import sql
from sidecar.postgres.schema import work_channel
from sidecar.postgres.tables.shadow import Shadow
from sidecar.projections.comparison import Report
from sidecar.projections.projection import Partition


class Verification(msgspec.Struct, frozen=True):
    """One comparison of a read model with a replay of the log.

    Attributes:
        state: `running`, `equal`, `drifted`, `failed` or `cancelled`.
        share: The part of a core that it may use; None for all of one.
        requested_at: Wall time, aware.
        ended_at: Likewise; None while it runs.
        filled_position: Up to where its copy was filled.
        compared_rows: How many rows of the read model were compared.
        detail: Why it failed.
        report: What was found so far; None before the first row was compared.
        live_position: Up to where all of the live copy has come.
        partitions: Into how many the live copy is divided.
        is_owned: Whether a worker is at it.
    """

    projection: str
    state: str
    share: float | None
    requested_at: dt.datetime
    ended_at: dt.datetime | None
    filled_position: int
    compared_rows: int
    detail: str | None
    report: Report | None
    live_position: int
    partitions: int
    is_owned: bool


async def request_verification(
    connection: RawConnection,
    projection: str,
    *,
    share: float | None = None,
    ignored: Sequence[str] = (),
) -> bool:
    """Have a projection verified by its workers; return False when it is already.

    Raises:
        ProjectionError: There is no such projection, or it declares no tables.
        UsageError: No table has a column that is to be ignored.
    """
    rows = await connection.fetch(sql("list_tables"), projection)
    if not rows:
        raise await find_unknown(connection, projection)
    if not rows[0]["tables"]:
        raise ProjectionError(f"{projection} declares no `tables` that could be compared.")
    columns = {row["name"] for row in await connection.fetch(sql("list_names"), rows[0]["tables"])}
    if unknown := sorted(set(ignored) - columns):
        tables = ", ".join(rows[0]["tables"])
        raise UsageError(f"No table of {projection} has a column {unknown[0]!r}: {tables}.")
    request = sql("request_verification")
    requested = await connection.fetchval(request, projection, share, list(ignored)) is not None
    await connection.execute(sql("notify"), work_channel())
    return requested


async def cancel_verification(connection: RawConnection, projection: str) -> None:
    """End a verification and drop its copy.

    Raises:
        ProjectionError: None is under way.
    """
    shadow = Shadow(projection)
    async with read_committed(connection):
        await shadow.hold(connection)
        if not await connection.fetch(sql("end_verification"), projection, "cancelled", None):
            raise ProjectionError(f"No verification of {projection} is under way.")
        await shadow.drop(connection)
    # A copy that was made while this waited may be seen by a new transaction alone.
    async with read_committed(connection):
        await shadow.hold(connection)
        if not await connection.fetch(sql("find_verification"), projection):
            await shadow.drop(connection)


async def list_verifiable(connection: RawConnection) -> list[str]:
    """Return the projections that declare tables."""
    return [row["projection"] for row in await connection.fetch(sql("list_verifiable"))]


async def list_verifications(
    connection: RawConnection, projections: Sequence[str] | None = None
) -> list[Verification]:
    """Return the last verification of each projection."""
    names = None if projections is None else list(projections)
    held = await list_held(connection)
    rows = await connection.fetch(sql("list_verifications"), names)
    return [_read(dict(row), held) for row in rows]


def _read(row: dict[str, Any], held: frozenset[int]) -> Verification:
    partition = Partition(row["projection"], 0, row["partitions"], "verify")
    report = row.pop("report")
    return Verification(
        **row,
        report=None if report is None else msgspec.json.decode(report, type=Report),
        is_owned=key_of(partition) in held,
    )
