"""Releases of a service that handle different types of events, and what is told of them."""

from collections.abc import Iterable
from typing import Final

import msgspec

from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes
from sidecar.postgres.checkpoints.passed_over_counter import PassedOverCounter
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.samples.sample import take_sample
from sidecar.projections.projection_status import ProjectionStatus
from tests.postgres.setting_up import set_up
from tests.postgres.stage import Stage, session


class Seen:
    """Writes down the positions that it is called for."""

    name = "seen"

    def __init__(self, handles: Iterable[type], partitions: int = 1) -> None:
        self.handles: Final = tuple(handles)
        self.partitions: Final = partitions
        self.tables: Final = ("seen",)

    async def setup(self, connection: Connection) -> None:
        await connection.execute("CREATE TABLE IF NOT EXISTS seen (position bigint PRIMARY KEY)")

    async def handle(self, _event: object, connection: Connection, record: RecordedEvent) -> None:
        await connection.execute("INSERT INTO seen VALUES ($1)", record.position)


class Release:
    """One release of the service: the types that it knows, and those that its projection handles.

    Args:
        stage: The database.
        handles: Names of what the projection handles; None means all that is known.
        known: Names of the registered types, by default what is handled.
        retired: Names of types that are gone for good.
        as_handler: It is added as a handler, whose effects lie outside.
    """

    def __init__(
        self,
        stage: Stage,
        handles: Iterable[str] | None,
        *,
        known: Iterable[str] | None = None,
        retired: Iterable[str] = (),
        partitions: int = 1,
        as_handler: bool = False,
    ) -> None:
        types = EventTypes()
        for name in known if known is not None else handles or ():
            types.register(name=name)(msgspec.defstruct(name, [], frozen=True))
        for name in retired:
            types.retire(name)
        classes = [found.cls for name in handles or () if (found := types.find(name))]
        self.publisher: Final = EventPublisher(types)
        self.projection: Final = Seen(classes, partitions)
        if as_handler:
            self.publisher.add_handler(self.projection)
        else:
            self.publisher.add_projection(self.projection)
        publisher = self.publisher
        self.stage: Final = Stage(stage.dsn, stage.pool, publisher, stage.policy)

    async def run(self) -> None:
        """Start it, let it do all there is to do, and stop it."""
        await set_up(self.stage)
        await self.stage.catch_up()

    async def run_on(self) -> None:
        """Run it until nothing is due any more."""
        await set_up(self.stage)
        self.stage.start()
        await self.stage.settle()
        await self.stage.until_retried()
        await self.stage.stop()

    async def told(self) -> dict[str, int]:
        """Count as its worker does, and return what is told, by type."""
        await count(self.stage)
        return {one.type: one.events for one in (await status_of(self.stage)).passed_over}


async def count(stage: Stage) -> None:
    async with session(stage.dsn) as connection:
        await PassedOverCounter(stage.handled).count(connection)


async def status_of(stage: Stage) -> ProjectionStatus:
    async with session(stage.dsn) as connection:
        sample = await take_sample(connection, SafeHeadFollower())
    (projection,) = sample.projections
    return projection


async def append(stage: Stage, *kinds: str) -> None:
    for number, kind in enumerate(kinds):
        await stage.insert(f"s{number % 3}", kind, "{}")


async def seen(stage: Stage) -> list[int]:
    """Return the positions that were applied, in the order in which that happened."""
    return [
        row["position"] for row in await stage.pool.fetch("SELECT position FROM seen ORDER BY ctid")
    ]
