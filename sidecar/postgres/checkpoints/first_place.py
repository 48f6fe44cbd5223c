"""Where a subscriber without a checkpoint starts, and why it may have to wait for a person."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sidecar.errors import AheadOfLogError
from sidecar.events.subscriber import SubscriberKind
from sidecar.postgres.checkpoints.block import (
    Block,
    describe_ahead,
    describe_filled,
    describe_gone,
    describe_kept,
    log_blocked,
)
from sidecar.postgres.checkpoints.start_position import find_position
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.postgres.tables.table_claims import find_filled
from sidecar.projections.forerunner import Forerunner, describe_forerunners, find_alike
from sidecar.projections.log_start import NOW, Start
from sidecar.projections.ports import State
from sidecar.projections.projection import Subscription

HandledTypes = Mapping[str, Sequence[str]]
"""The types that each subscriber of a release handles, by name."""

NOTHING_KNOWN: Final[HandledTypes] = {}


class Place(NamedTuple):
    """Position and state of each partition of a subscriber, and whose effects it has."""

    position: int
    state: State = State.RUNNING
    detail: str | None = None
    block: Block | None = None
    start_position: int = 0
    members: list[str] | None = None

    def blocked(self, name: str, block: Block, detail: str) -> "Place":
        """Return it for a subscriber that waits for a person, which is logged."""
        log_blocked(name, detail)
        return self._replace(state=State.FAILED, detail=detail, block=block)


async def find_first_place(
    connection: RawConnection,
    subscription: Subscription,
    *,
    service: str | None,
    handled: HandledTypes,
    was_known: bool,
) -> Place:
    """Return where a subscriber starts that has no checkpoint.

    It is blocked where something ran before that it may have to go on from.
    """
    name = subscription.name
    try:
        position = await find_position(connection, _start_of(subscription))
    except AheadOfLogError as error:
        here = Place(await find_position(connection, NOW))
        return here.blocked(name, Block.AHEAD, describe_ahead(name, error))
    place = Place(position, start_position=0 if subscription.start is None else position)
    deleted = await connection.fetch(sql("list_deleted"), name)
    kept = describe_kept(name, deleted)
    if filled := await find_filled(connection, subscription.tables):
        return place.blocked(name, Block.FILLED, describe_filled(name, filled, kept))
    has_run = was_known or deleted or await connection.fetchval(sql("has_handled_ranges"), name)
    if has_run and await connection.fetchval(sql("has_events")):
        return place.blocked(name, Block.GONE, describe_gone(name, subscription.kind, kept))
    if alike := await find_forerunners(connection, subscription, service, handled, position):
        return place.blocked(name, Block.RENAMED, describe_forerunners(name, position, alike))
    return place


async def find_forerunners(
    connection: RawConnection,
    subscription: Subscription,
    service: str | None,
    handled: HandledTypes,
    position: int,
) -> list[Forerunner]:
    """Return what a subscriber without tables may have been called before.

    Those are of its kind and service, are not in its release, and have handled events or left some
    below the position that it starts after. Tables tell more than types: who declares some is
    found by them.
    """
    if subscription.tables or subscription.name not in handled:
        return []
    release = list(handled)
    place = (subscription.kind.value, service, position)
    rows = await connection.fetch(sql("list_forerunners"), release, *place)
    others = [
        Forerunner(row["projection"], frozenset(row["types"]), row["position"], row["letters"])
        for row in rows
    ]
    return find_alike(handled[subscription.name], others)


def _start_of(subscription: Subscription) -> Start:
    if subscription.start is not None:
        return subscription.start
    return NOW if subscription.kind is SubscriberKind.HANDLER else 0
