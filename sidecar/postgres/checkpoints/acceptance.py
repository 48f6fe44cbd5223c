"""What people decide about a projection; each decision is kept with its reason."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from sidecar.errors import NothingToAcceptError, ProjectionError
from sidecar.events.subscriber import SubscriberKind
from sidecar.postgres.checkpoints.block import Block, find_unknown
from sidecar.postgres.checkpoints.passed_over_counter import count_on
from sidecar.postgres.checkpoints.release import retire
from sidecar.postgres.checkpoints.start_position import find_position
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.lease import is_any_held
from sidecar.postgres.log_memory.log_loss import settle_unless_held
from sidecar.postgres.query import sql
from sidecar.postgres.tables.copies import drop_copy, new_schema, old_schema, quote, verify_schema
from sidecar.projections.log_start import Start

_FORGOTTEN: Final = (
    "delete_checkpoints",
    "forget_declared",
    "forget_deleted",
    "forget_marks",
    "forget_accepted_gaps",
)
_HANDED_OVER: Final = (
    "hand_over_checkpoints",
    "hand_over_discards",
    "hand_over_letters",
    "hand_over_deletions",
    "hand_over_ranges",
    "hand_over_declared",
    "hand_over_verifications",
    "hand_over_marks",
    "hand_over_gaps",
    "hand_over_acceptances",
)


async def accept_position(
    connection: RawConnection, projection: str, start: Start, reason: str
) -> int:
    """Let a blocked projection go on with its tables as they are; return after which position.

    Raises:
        ProjectionError: There is no such projection, it does not wait for a position, or the log
            has not come to such a position.
    """
    async with read_committed(connection):
        position = await find_position(connection, start)
        rows = await connection.fetch(sql("list_partitions"), projection)
        is_held = await connection.fetchval(sql("is_held"), projection)
        taken = await connection.fetch(sql("accept_position"), projection, position)
        if not taken:
            raise await _nothing_to_accept(connection, projection)
        if len(taken) < len(rows):
            raise ProjectionError(
                f"Only {len(taken)} of {len(rows)} partitions of {projection} have no checkpoint; "
                f"`sidecar projections restore {projection}` puts them back, or rebuild it."
            )
        if is_held:
            await settle_unless_held(connection, reason)
        await connection.execute(sql("close_letters_above"), projection, position)
        await connection.execute(sql("end_handled_ranges"), projection)
        await connection.execute(sql("forget_handled_ranges"), projection, "live")
        await connection.execute(sql("forget_deleted"), projection)
        await connection.execute(sql("settle_changes"), projection, None)
        await _keep(connection, projection, f"taken as it is at position {position}", reason)
        return position


async def accept_service(
    connection: RawConnection, projection: str, service: str | None, reason: str
) -> bool:
    """Hand a projection over to a service; return True when it was another's.

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
        await _keep(connection, projection, f"handed over from {owner} to {service}", reason)
        return True


async def accept_new(connection: RawConnection, projection: str, reason: str) -> int | None:
    """Let a projection start that may have been another one; return after which position.

    None when it does not wait for that.
    """
    async with read_committed(connection):
        taken = await connection.fetch(sql("accept_new"), projection)
        if not taken:
            return None
        position = min(int(row["position"]) for row in taken)
        await connection.execute(sql("close_letters_above"), projection, position)
        await _keep(connection, projection, f"new, from position {position} on", reason)
        return position


async def accept_passed_over(connection: RawConnection, projection: str, reason: str) -> int:
    """Accept that a projection lacks the events that it passed over; return how many.

    One that waits for that goes on. Events that it passes over from now on are reported again.

    Raises:
        NothingToAcceptError: There are none.
        ProjectionError: There is no such projection, or it waits for another decision.
    """
    await count_on(connection, [projection])
    async with read_committed(connection):
        blocked = await connection.fetchrow(sql("read_block"), projection)
        if blocked is not None and blocked["block"] == Block.SHARED_TABLE:
            raise ProjectionError(f"{projection} waits for another decision: {blocked['detail']}")
        if blocked is not None and blocked["block"] != Block.PASSED_OVER:
            raise ProjectionError(f"Say at which position, with --at: {blocked['detail']}.")
        # Locked, so that none is passed over between those accepted and those reported later.
        await connection.fetch(sql("list_partitions"), projection)
        rows = await connection.fetch(sql("accept_passed_over"), projection, None)
        if not rows:
            raise await _nothing_to_accept(connection, projection)
        await connection.execute(sql("keep_accepted_gaps"), projection)
        await connection.execute(sql("end_handled_ranges"), projection)
        await connection.execute(sql("unblock_missed"), [projection])
        events = sum(row["events"] for row in rows)
        what = f"{events} passed-over events of {_describe(rows)}"
        await _keep(connection, projection, what, reason)
        return int(events)


async def accept_joined(connection: RawConnection, projection: str, reason: str) -> bool:
    """Let a group go on whose members joined late; return False when it does not wait for that.

    Whoever runs it next is taken for what made its tables.
    """
    async with read_committed(connection):
        blocked = await connection.fetchrow(sql("read_block"), projection)
        if blocked is None or blocked["block"] != Block.JOINED:
            return False
        await connection.execute(sql("accept_joined"), projection)
        await _keep(connection, projection, f"taken as it is: {blocked['detail']}", reason)
        return True


async def accept_retired(
    connection: RawConnection, projection: str, types: Sequence[str], reason: str
) -> int:
    """End the wish for types: their events are passed over; return how many waited.

    Streams that wait for a release with one of them go on without it.

    Raises:
        ProjectionError: No release of the projection has declared one of them.
    """
    async with read_committed(connection):
        if not await connection.fetch(sql("list_partitions"), projection):
            raise await find_unknown(connection, projection)
        declared = await connection.fetch(sql("list_declarations"), projection)
        known = [row["type"] for row in declared]
        if strange := sorted(set(types) - set(known)):
            raise ProjectionError(
                f"No release of {projection} handles {', '.join(strange)}; declared: "
                f"{', '.join(known) or 'none'}."
            )
        waiting = await retire(connection, [projection], list(types), reason)
        await connection.fetch(sql("accept_passed_over"), projection, list(types))
        await connection.execute(sql("keep_accepted_gaps"), projection)
        # What is passed over from now on is for a release to judge that handles the type again.
        await connection.execute(sql("end_handled_ranges"), projection)
        await connection.execute(sql("unblock_missed"), [projection])
        if not all(row["is_retired"] for row in declared if row["type"] in types):
            what = f"retired {', '.join(sorted(set(types)))}; {waiting} events waited"
            await _keep(connection, projection, what, reason)
        return waiting


async def accept_renamed(connection: RawConnection, projection: str, old: str, reason: str) -> bool:
    """Go on under a new name with all that is known of the old one; False when that was done.

    Positions, dead letters, discards, declarations, passed-over events and verifications move.

    Raises:
        ProjectionError: There is no projection of one of the names, a worker runs the old one, or
            the new one has run or is another kind.
    """
    what = f"renamed from {old}"
    async with read_committed(connection):
        await connection.execute(sql("lock_registrations"))
        before = await connection.fetch(sql("list_standing"), old)
        after = await connection.fetch(sql("list_standing"), projection)
        if not before and await connection.fetchval(sql("has_acceptance"), projection, what):
            return False
        if not before or not after:
            raise await find_unknown(connection, projection if before else old)
        if await is_any_held(connection, old, before):
            raise ProjectionError(
                f"A worker runs {old}; end the release that has it under that name first."
            )
        _require_unused(projection, after, before)
        await _hand_over(connection, projection, old)
        await _keep(connection, projection, what, reason)
        return True


def _require_unused(
    projection: str, after: Sequence[asyncpg.Record], before: Sequence[asyncpg.Record]
) -> None:
    """Refuse a new name that has a history of its own, or is of another kind."""
    if after[0]["has_run"]:
        cure = _describe_rebuild(projection, before)
        raise ProjectionError(f"{projection} has run under its own name already; {cure}.")
    if after[0]["kind"] != before[0]["kind"]:
        raise ProjectionError(f"{projection} is a {after[0]['kind']}, and the other was none.")


def _describe_rebuild(projection: str, before: Sequence[asyncpg.Record]) -> str:
    """Say what takes up what another name has left."""
    if before[0]["kind"] == SubscriberKind.PROJECTION:
        return f"`sidecar projections rebuild {projection}` makes its read model right"
    position = min(row["position"] for row in before)
    return (
        f"`sidecar projections rebuild {projection} --replay-effects --start-at {position}` has it "
        "handle again all that the other had not come to, its own events since then included"
    )


async def _hand_over(connection: RawConnection, projection: str, old: str) -> None:
    for forget in _FORGOTTEN:
        await connection.execute(sql(forget), projection)
    await connection.execute(sql("forget_handled_ranges"), projection, None)
    await connection.execute(sql("forget_deleted"), old)
    await connection.execute(sql("delete_rebuild"), old)
    await connection.execute(sql("forget_handled_ranges"), old, "rebuild")
    for schema in (new_schema(old), verify_schema(old)):
        await drop_copy(connection, schema)
    await connection.execute(sql("end_verification"), old, "cancelled", "it was renamed")
    for statement in _HANDED_OVER:
        await connection.execute(sql(statement), projection, old)
    if await connection.fetchval(sql("has_schema"), old_schema(old)):
        await drop_copy(connection, old_schema(projection))
        names = quote(old_schema(old)), quote(old_schema(projection))
        await connection.execute("ALTER SCHEMA {} RENAME TO {}".format(*names))


async def _nothing_to_accept(connection: RawConnection, projection: str) -> ProjectionError:
    if not await connection.fetch(sql("list_partitions"), projection):
        return await find_unknown(connection, projection)
    return NothingToAcceptError(
        f"There is nothing to accept of {projection!r}: see `sidecar projections list`."
    )


async def _keep(connection: RawConnection, projection: str, what: str, reason: str) -> None:
    await connection.execute(sql("keep_acceptance"), projection, what, reason)


def _describe(rows: Sequence[asyncpg.Record]) -> str:
    """Say which events were accepted: each type with its first and last position."""
    places: dict[str, tuple[int, int]] = {}
    for row in rows:
        first, last = places.get(row["type"], (row["first_position"], row["last_position"]))
        places[row["type"]] = (min(first, row["first_position"]), max(last, row["last_position"]))
    return ", ".join(
        f"{name} ({first} to {last})" for name, (first, last) in sorted(places.items())
    )
