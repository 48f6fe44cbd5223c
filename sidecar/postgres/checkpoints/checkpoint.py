"""Checkpoint rows: created when a service starts, paused and resumed by people."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import asyncpg

from sidecar.errors import ForeignCheckpointError, PartitionCountError, ProjectionError
from sidecar.postgres.checkpoints.block import (
    Block,
    describe_filled,
    describe_gone,
    describe_kept,
    find_unknown,
)
from sidecar.postgres.checkpoints.first_place import (
    NOTHING_KNOWN,
    HandledTypes,
    Place,
    find_first_place,
    find_forerunners,
)
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.handler.setup_call import call_setup
from sidecar.postgres.lease import is_any_held
from sidecar.postgres.query import sql
from sidecar.postgres.tables.table_claims import find_filled, require_sole
from sidecar.postgres.tables.table_marks import mark_after_setup
from sidecar.postgres.tables.table_watch import TableWatch
from sidecar.projections.ports import State
from sidecar.projections.projection import Partition, Subscription

RECENT_EVENTS: Final = 10_000


async def register(
    connection: RawConnection,
    subscription: Subscription,
    *,
    service: str | None = None,
    handled: HandledTypes = NOTHING_KNOWN,
    was_known: bool = False,
) -> None:
    """Make sure that each partition has its row.

    A new projection starts before the first event, unless it declares another start. A new handler
    starts at the safe head, since its effects lie outside: years of mails must not be sent again.
    One whose tables hold rows already, that ran before, or that may have run under another name, is
    blocked until a person decides: nothing is replayed onto them.

    Args:
        connection: In no transaction.
        subscription: The subscriber.
        service: The name of its service; None for one without a name.
        handled: The types that each subscriber of its release handles, by name.
        was_known: This process has registered it before.

    Raises:
        ForeignCheckpointError: Another service has a projection of that name in this database.
        PartitionCountError: The number of partitions changed while they stand at different
            positions, or while a rebuild is under way.
    """
    async with read_committed(connection):
        await connection.execute(sql("lock_registrations"))
        await _register(
            connection, subscription, service=service, handled=handled, was_known=was_known
        )


async def prepare(
    connection: RawConnection, subscription: Subscription, *, siblings: Collection[str] = ()
) -> None:
    """Let a subscriber prepare its read model, in one transaction.

    Args:
        connection: In no transaction.
        subscription: Registered already, as are its siblings.
        siblings: The subscribers of the same worker.

    Raises:
        SharedTableError: Another projection fills one of its tables; nothing was changed.
        Exception: Raised by its `setup`; nothing was changed.
    """
    # In transactions of its own: a setup may take long, and others look at the tables meanwhile.
    await TableWatch().look(connection, subscription.name)
    async with read_committed(connection):
        if subscription.setup is not None:
            await connection.execute(sql("lock_setup"), subscription.name)
            await call_setup(connection, subscription)
        # Only now do the names of its tables stand for something.
        await require_sole(connection, subscription.name, siblings)
        await mark_after_setup(connection, subscription.name)
        await connection.execute(sql("end_failure"), subscription.name)


async def fail_setup(
    connection: RawConnection,
    subscription: Subscription,
    detail: str,
    *,
    block: Block | None = None,
    service: str | None = None,
    handled: HandledTypes = NOTHING_KNOWN,
) -> None:
    """Record that a subscriber cannot run, unless another worker runs it or another service has it.

    A new one gets its rows all the same: it is visible, and a handler misses no event from here on.
    """
    async with read_committed(connection):
        await connection.execute(sql("lock_registrations"))
        try:
            await _register(connection, subscription, service=service, handled=handled)
        except ForeignCheckpointError:
            return
        except ProjectionError:
            pass
        rows = await connection.fetch(sql("list_partitions"), subscription.name)
        if not await is_any_held(connection, subscription.name, rows):
            await connection.execute(sql("fail_setup"), subscription.name, detail, block)


async def _register(
    connection: RawConnection,
    subscription: Subscription,
    *,
    service: str | None,
    handled: HandledTypes,
    was_known: bool = False,
) -> None:
    name = subscription.name
    rows = await connection.fetch(sql("list_partitions"), name)
    owner = await _require_own(connection, name, rows, service)
    if rows and rows[0]["block"] == Block.AHEAD:
        rows = []  # The log may have come there by now.
    if rows and len(rows) == subscription.partitions:
        declared = (list(subscription.tables), subscription.kind)
        await connection.execute(sql("declare"), name, *declared)
        await _look_again(connection, subscription, rows[0], owner, handled)
        return
    if rows and rows[0]["partitions"] == subscription.partitions:
        await _fill_up(connection, subscription, rows, owner)
        return
    if rows:
        await _require_alike(connection, subscription, rows)
        place = Place(*(rows[0][column] for column in Place._fields))
        await connection.execute(sql("end_handled_ranges"), name)
    else:
        place = await find_first_place(
            connection, subscription, service=owner, handled=handled, was_known=was_known
        )
        if place.block is None:
            await connection.execute(sql("close_letters_above"), name, place.position)
    await connection.execute(sql("delete_partitions"), name)
    await _create(connection, subscription, subscription.split(), owner, place)


async def _fill_up(
    connection: RawConnection,
    subscription: Subscription,
    rows: Sequence[asyncpg.Record],
    owner: str | None,
) -> None:
    """Block what was deleted of some partitions of a projection; the others go on."""
    kept = await connection.fetch(sql("list_deleted"), subscription.name)
    known = {row["partition"] for row in rows}
    told = describe_kept(subscription.name, [row for row in kept if row["partition"] not in known])
    detail = describe_gone(subscription.name, subscription.kind, told)
    missing = [part for part in subscription.split() if part.index not in known]
    place = Place(0).blocked(subscription.name, Block.GONE, detail)
    await _create(connection, subscription, missing, owner, place)


async def _create(
    connection: RawConnection,
    subscription: Subscription,
    partitions: Iterable[Partition],
    owner: str | None,
    place: Place,
) -> None:
    declared = (subscription.kind, list(subscription.tables), owner)
    parts = [(subscription.name, p.index, p.count, *declared, *place) for p in partitions]
    await connection.executemany(sql("create_checkpoint"), parts)


async def _require_own(
    connection: RawConnection, name: str, rows: Sequence[asyncpg.Record], service: str | None
) -> str | None:
    """Return the service that owns the rows from now on.

    They belong to the first service with a name. A process without one is let in: it may be the
    same service, started by hand.
    """
    owner: str | None = next((row["service"] for row in rows if row["service"]), None)
    if owner is None and service is not None:
        await connection.execute(sql("set_service"), name, service)
    elif owner is not None and service not in {None, owner}:
        raise ForeignCheckpointError(
            f"{name} belongs to the service {owner} in this database, and this is {service}: two "
            "services must not share a checkpoint. Give the projection another name, or the "
            f"service a schema of its own (SIDECAR_SCHEMA). If {owner} is now called {service}, "
            f"`sidecar projections accept {name} --reason TEXT` hands it over."
        )
    return owner or service


async def _look_again(
    connection: RawConnection,
    subscription: Subscription,
    row: asyncpg.Record,
    owner: str | None,
    handled: HandledTypes,
) -> None:
    """Unblock a projection where what it was blocked for is over."""
    match row["block"]:
        case Block.FILLED:
            await _block_or_unblock(connection, subscription)
        case Block.RENAMED:
            place = (owner, handled, row["position"])
            if not await find_forerunners(connection, subscription, *place):
                await connection.execute(sql("unblock"), subscription.name)
        case _:
            pass


async def _block_or_unblock(connection: RawConnection, subscription: Subscription) -> None:
    """Unblock a projection that was blocked for rows in its tables, once they hold none."""
    name = subscription.name
    if filled := await find_filled(connection, subscription.tables):
        kept = describe_kept(name, await connection.fetch(sql("list_deleted"), name))
        place = Place(0).blocked(name, Block.FILLED, describe_filled(name, filled, kept))
        await connection.execute(sql("block"), name, place.detail, Block.FILLED)
    else:
        await connection.execute(sql("unblock"), name)
        await connection.execute(sql("close_letters_above"), name, 0)


async def _require_alike(
    connection: RawConnection, subscription: Subscription, rows: Sequence[asyncpg.Record]
) -> None:
    """Refuse another number of partitions when the rows cannot be divided anew."""
    name = subscription.name
    change = f"{name} ran in {len(rows)} partition(s) and now wants {subscription.partitions}, but"
    # Pausing sets all rows at once, so that their states differ only if they were edited by hand.
    if len({(row["position"], row["state"]) for row in rows}) > 1:
        raise PartitionCountError(
            f"{change} they stand at different positions. Start it once more as before, pause it "
            "when it has caught up, change the number, then resume it. Once they stand at one "
            "position it goes on by itself."
        )
    if await connection.fetchval(sql("has_rebuild"), name):
        raise PartitionCountError(
            f"{change} its rebuild in {len(rows)} is under way. Let that end with a worker as "
            f"before, or drop it with `sidecar projections rebuild {name} --cancel`."
        )


async def list_recent_versions(connection: RawConnection) -> dict[str, int]:
    """Return the newest schema version of each event type among the latest events."""
    rows = await connection.fetch(sql("list_recent_versions"), RECENT_EVENTS)
    return {row["type"]: row["schema_version"] for row in rows}


async def set_state(
    connection: RawConnection, projection: str, state: State, detail: str | None = None
) -> int:
    """Pause, resume or fail a projection and return how many partitions it has.

    A running batch ends first, for it holds the row.

    Raises:
        ProjectionError: There is none of that name, or it waits for a decision, which the message
            names.
    """
    if blocked := await connection.fetchrow(sql("read_block"), projection):
        raise ProjectionError(f"{projection} waits for a decision: {blocked['detail']}")
    partitions = await connection.fetch(sql("set_state"), projection, state.value, detail)
    if not partitions:
        raise await find_unknown(connection, projection)
    return len(partitions)
