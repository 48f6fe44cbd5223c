"""Projections that are blocked until a person decides, and the decisions."""

from collections.abc import Sequence
from enum import StrEnum

from sidecar.errors import ProjectionError
from sidecar.events.publisher import SubscriberKind
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.copies import drop_copy, new_schema, verify_schema
from sidecar.postgres.lease import is_any_held
from sidecar.postgres.query import sql
from sidecar.postgres.start_position import find_position
from sidecar.projections.log_start import Start


class Block(StrEnum):
    """Why a projection must not run before a person decides."""

    FILLED = "filled"
    GONE = "gone"
    AHEAD = "ahead"


def describe_filled(projection: str, tables: Sequence[str]) -> str:
    """Return why filled tables without a checkpoint block a projection, and what to do."""
    return (
        f"{', '.join(tables)} is filled, but {projection} has no checkpoint: it was deleted, or "
        "the projection is new or was renamed. Nothing is replayed onto it. "
        f"{_ways_out(projection, SubscriberKind.PROJECTION)}"
    )


def describe_gone(projection: str, kind: SubscriberKind) -> str:
    """Return why a deleted checkpoint blocks a projection, and what to do."""
    return (
        f"the checkpoint of {projection} was deleted. Nothing is replayed. "
        f"{_ways_out(projection, kind)}"
    )


def describe_ahead(projection: str, error: Exception) -> str:
    """Return why a declared start blocks a projection, and what to do."""
    return (
        f"its `start_at` lies ahead of the log. {error} Start its worker again once the log has "
        f"come there; or `sidecar projections accept {projection} --at now --reason TEXT` has it "
        "go on from here"
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


async def accept_position(
    connection: RawConnection, projection: str, start: Start, reason: str
) -> int:
    """Let a blocked projection go on with its tables as they are; return after which position.

    The reason is kept.

    Raises:
        ProjectionError: There is no such projection, it is not blocked, or the log has not come to
            such a position.
    """
    async with read_committed(connection):
        position = await find_position(connection, start)
        if not await connection.fetch(sql("accept_position"), projection, position):
            raise _nothing_to_accept(projection)
        await connection.execute(sql("close_letters_above"), projection, position)
        await connection.execute(sql("end_handled_ranges"), projection)
        await connection.execute(sql("forget_handled_ranges"), projection, "live")
        await connection.execute(sql("settle_changes"), projection, None)
        what = f"taken as it is at position {position}"
        await connection.execute(sql("keep_acceptance"), projection, what, reason)
        return position


async def accept_service(
    connection: RawConnection, projection: str, service: str | None, reason: str
) -> bool:
    """Hand a projection over to a service; return True when it was another's. The reason is kept.

    Raises:
        ProjectionError: A worker of the other service runs it.
    """
    async with read_committed(connection):
        await connection.execute(sql("lock_registrations"))
        rows = await connection.fetch(sql("list_partitions"), projection)
        owner = next((row["service"] for row in rows if row["service"]), None)
        if owner is None or service in {None, owner}:
            return False
        if await is_any_held(connection, projection, rows):
            raise ProjectionError(f"A worker of {owner} runs {projection}; end that first.")
        await connection.execute(sql("set_service"), projection, service)
        what = f"handed over from {owner} to {service}"
        await connection.execute(sql("keep_acceptance"), projection, what, reason)
        return True


async def accept_passed_over(connection: RawConnection, projection: str, reason: str) -> int:
    """Accept that a projection lacks the events that it passed over; return how many.

    The reason is kept. Events that it passes over from now on are reported again.

    Raises:
        ProjectionError: There are none, or the projection waits for another decision.
    """
    async with read_committed(connection):
        if blocked := await connection.fetchval(sql("read_block"), projection):
            raise ProjectionError(f"Say at which position, with --at: {blocked}.")
        # Locked, so that none is passed over between those accepted and those reported later.
        await connection.fetch(sql("list_partitions"), projection)
        rows = await connection.fetch(sql("accept_passed_over"), projection)
        if not rows:
            raise _nothing_to_accept(projection)
        await connection.execute(sql("keep_accepted_gaps"), projection)
        await connection.execute(sql("end_handled_ranges"), projection)
        events = sum(row["events"] for row in rows)
        types = ", ".join(sorted({row["type"] for row in rows}))
        what = f"{events} passed-over events of {types}"
        await connection.execute(sql("keep_acceptance"), projection, what, reason)
        return int(events)


def unknown_projection(projection: str) -> ProjectionError:
    """Make the error of a projection without checkpoints."""
    return ProjectionError(
        f"There is no projection {projection!r}; see `sidecar projections list`."
    )


def _nothing_to_accept(projection: str) -> ProjectionError:
    return ProjectionError(
        f"There is nothing to accept of {projection!r}: see `sidecar projections list`."
    )


async def remove(connection: RawConnection, projection: str) -> None:
    """Remove a projection that no worker runs any more; its tables and the log stay as they are.

    Raises:
        ProjectionError: There is no such projection, or a worker runs it.
    """
    async with read_committed(connection):
        await connection.execute(sql("lock_registrations"))
        rows = await connection.fetch(sql("list_partitions"), projection)
        if not rows:
            raise unknown_projection(projection)
        if await is_any_held(connection, projection, rows):
            raise ProjectionError(
                f"A worker runs {projection}; take it out of the service and deploy that first."
            )
        await connection.execute(sql("delete_checkpoints"), projection)
        await connection.execute(sql("forget_handled_ranges"), projection, None)
        await connection.execute(sql("forget_marks"), projection)
        await connection.execute(sql("forget_accepted_gaps"), projection)
        reason = "its projection was removed"
        await connection.execute(sql("resolve_rebuilt_letters"), projection, reason)
        await connection.execute(sql("delete_verifications"), projection)
        for schema in (new_schema(projection), verify_schema(projection)):
            await drop_copy(connection, schema)
