"""Projections that are blocked until a person decides; checkpoints that are lost or forgotten."""

import logging
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import asyncpg

from sidecar.errors import ProjectionError
from sidecar.events.subscriber import SubscriberKind
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.lease import is_any_held
from sidecar.postgres.query import sql
from sidecar.postgres.tables.copies import drop_copy, new_schema, verify_schema

REMOVED: Final = "removed"

logger = logging.getLogger(__name__)


class Block(StrEnum):
    """Why a projection must not run before a person decides."""

    FILLED = "filled"
    GONE = "gone"
    AHEAD = "ahead"
    PASSED_OVER = "passed_over"
    LOST = "lost"
    RENAMED = "renamed"
    SHARED_TABLE = "shared_table"
    JOINED = "joined"


def log_blocked(projection: str, detail: str) -> None:
    """Tell that a projection waits for a person, and for what."""
    logger.critical(
        "Projection %s does not run: %s",
        projection,
        detail,
        extra={"event": "sidecar.projection.blocked", "projection": projection},
    )


def describe_filled(projection: str, tables: Sequence[str], kept: str = "") -> str:
    """Return why filled tables without a checkpoint block a projection, and what to do.

    `kept` says where a deleted checkpoint stood, as `describe_kept` does.
    """
    why = kept or "it was deleted, or the projection is new or was renamed"
    return (
        f"{', '.join(tables)} is filled, but {projection} has no checkpoint: {why}. Nothing is "
        f"replayed onto it. {_ways_out(projection, SubscriberKind.PROJECTION)}"
    )


def describe_gone(projection: str, kind: SubscriberKind, kept: str = "") -> str:
    """Return why a deleted checkpoint blocks a projection, and what to do."""
    told = f": {kept}" if kept else ""
    return (
        f"the checkpoint of {projection} was deleted{told}. Nothing is replayed. "
        f"{_ways_out(projection, kind)}"
    )


def describe_ahead(projection: str, error: Exception) -> str:
    """Return why a declared start blocks a projection, and what to do."""
    return (
        f"its `start_at` lies ahead of the log. {error} Start its worker again once the log has "
        f"come there; or `sidecar projections accept {projection} --at now --reason TEXT` has it "
        "go on from here"
    )


def describe_kept(projection: str, kept: Sequence[asyncpg.Record]) -> str:
    """Say where a deleted checkpoint stood and how it is put back; empty where nobody knows."""
    if not kept:
        return ""
    first, last = min(row["position"] for row in kept), max(row["position"] for row in kept)
    place = f"position {first}" if first == last else f"positions {first} to {last}"
    row = kept[0]
    return (
        f"{row['deleted_by']} deleted it on {row['deleted_at']:%F at %T} UTC, at {place}; "
        f"`sidecar projections restore {projection}` puts it back"
    )


def _ways_out(projection: str, kind: SubscriberKind) -> str:
    anew = (
        f"`sidecar projections rebuild {projection}` fills it anew from the log"
        if kind is SubscriberKind.PROJECTION
        else f"`sidecar projections rebuild {projection} --replay-effects` has every event again"
    )
    return (
        f"{anew}; `sidecar projections accept {projection} --at POSITION --reason TEXT` takes it "
        "as it is, and goes on after that position"
    )


async def find_unknown(connection: RawConnection, projection: str) -> ProjectionError:
    """Make the error of a projection without checkpoints, which may be a member of a group."""
    group = await connection.fetchval(sql("find_group"), projection)
    if group is not None:
        return ProjectionError(
            f"{projection} is a member of {group} and runs as a part of that: say {group}."
        )
    return unknown_projection(projection)


def unknown_projection(projection: str) -> ProjectionError:
    """Make the error of a name that no checkpoint has."""
    return ProjectionError(
        f"There is no projection {projection!r}; see `sidecar projections list`."
    )


async def restore(connection: RawConnection, projection: str) -> dict[int, int]:
    """Put a deleted checkpoint back; return the positions by partition, none if it did not wait.

    Its read model, which nobody has touched since, goes on as if nothing had been.

    Raises:
        ProjectionError: There is no such projection, or nobody knows where it stood.
    """
    async with read_committed(connection):
        await connection.execute(sql("lock_registrations"))
        rows = await connection.fetch(sql("list_partitions"), projection)
        kept = await connection.fetch(sql("list_deleted"), projection)
        if not rows and not kept:
            raise await find_unknown(connection, projection)
        if rows and not _is_lost(rows):
            return {}
        restored = await connection.fetch(sql("restore_checkpoints"), projection)
        if not restored:
            raise _not_kept(projection, kept)
        await connection.execute(sql("forget_deleted"), projection)
        positions = {row["partition"]: row["position"] for row in restored}
        upto = ", ".join(str(position) for position in positions.values())
        what = f"restored at position {upto}"
        await connection.execute(sql("keep_acceptance"), projection, what, "it was deleted")
        return positions


def _is_lost(rows: Sequence[asyncpg.Record]) -> bool:
    """Return True when a part of a checkpoint is gone, or stands in for one that is."""
    is_whole = len(rows) == rows[0]["partitions"]
    return not is_whole or any(row["block"] in {Block.FILLED, Block.GONE} for row in rows)


def _not_kept(projection: str, kept: Sequence[asyncpg.Record]) -> ProjectionError:
    if kept:
        return ProjectionError(
            f"{projection} ran in {kept[0]['partitions']} partition(s) when its checkpoint was "
            "deleted. Start its workers once with that number, then restore it."
        )
    return ProjectionError(
        f"Nobody knows where {projection} stood: its checkpoint was not deleted in this database. "
        "See `sidecar projections list` for the other ways out."
    )


async def remove(connection: RawConnection, projection: str) -> bool:
    """Remove a projection that no worker runs any more; its tables and the log stay as they are.

    Returns:
        Whether it was there; False when it was removed before.

    Raises:
        ProjectionError: There is no such projection, or a worker runs it.
    """
    async with read_committed(connection):
        await connection.execute(sql("lock_registrations"))
        rows = await connection.fetch(sql("list_partitions"), projection)
        if not rows:
            if await connection.fetchval(sql("has_acceptance"), projection, REMOVED):
                return False
            raise await find_unknown(connection, projection)
        if await is_any_held(connection, projection, rows):
            raise ProjectionError(
                f"A worker runs {projection}; take it out of the service and deploy that first."
            )
        forgotten = ("delete_checkpoints", "forget_declared", "forget_deleted", "forget_discards")
        for forget in forgotten:
            await connection.execute(sql(forget), projection)
        await connection.execute(sql("forget_handled_ranges"), projection, None)
        await connection.execute(sql("forget_marks"), projection)
        await connection.execute(sql("forget_accepted_gaps"), projection)
        await connection.execute(sql("forget_preview"), projection)
        reason = "its projection was removed"
        await connection.execute(sql("resolve_rebuilt_letters"), projection, reason)
        await connection.execute(sql("settle_deleted_letters"), projection)
        await connection.execute(sql("delete_verifications"), projection)
        for schema in (new_schema(projection), verify_schema(projection)):
            await drop_copy(connection, schema)
        await connection.execute(sql("keep_acceptance"), projection, REMOVED, "nobody runs it")
        return True
