"""What a person accepted as passed over is left out of every copy, and is no drift."""

from typing import Final

import msgspec

from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes
from sidecar.postgres.checkpoints.acceptance import accept_passed_over
from sidecar.postgres.checkpoints.passed_over_counter import PassedOverCounter
from tests.postgres import rebuilding, verifying
from tests.postgres.setting_up import set_up
from tests.postgres.stage import Stage, open_stage, session

FIRST: Final = ("Ordered",)
SECOND: Final = ("Ordered", "Refunded")
SEEN: Final = "SELECT array_agg(position ORDER BY position) FROM seen"


class Seen:
    """Writes down the positions that it is called for."""

    name = "seen"
    tables = ("seen",)

    def __init__(self, handles: tuple[type, ...], partitions: int) -> None:
        self.handles: Final = handles
        self.partitions: Final = partitions

    async def setup(self, connection: Connection) -> None:
        await connection.execute("CREATE TABLE IF NOT EXISTS seen (position bigint PRIMARY KEY)")

    async def handle(self, _event: object, connection: Connection, record: RecordedEvent) -> None:
        await connection.execute("INSERT INTO seen VALUES ($1)", record.position)


def release(stage: Stage, names: tuple[str, ...]) -> Stage:
    """Give a release of the service that knows these types."""
    types = EventTypes()
    classes = [msgspec.defstruct(name, [], frozen=True) for name in names]
    for each in classes:
        types.register()(each)
    publisher = EventPublisher(types)
    publisher.add_projection(Seen(tuple(classes), 2))
    return Stage(stage.dsn, stage.pool, publisher, stage.policy)


async def append(stage: Stage, *names: str) -> None:
    for number, name in enumerate(names):
        await stage.insert(f"s{number % 5}", name, "{}")


async def test_neither_a_verification_nor_a_rebuild_brings_it_back(database: str) -> None:
    async with open_stage(database) as stage, session(database) as connection:
        await append(stage, *["Ordered", "Refunded"] * 5)
        old, new = release(stage, FIRST), release(stage, SECOND)
        for each in (old, new):
            await set_up(each)
            await each.catch_up()
            await PassedOverCounter(each.handled).count(connection)
        async with verifying.working(new):
            assert (await verifying.verify(new, "seen")).state == "drifted"
            assert await accept_passed_over(connection, "seen", "not wanted") == 5
            await append(stage, "Refunded", "Ordered")
            await rebuilding.until_live(new, "seen")
            kept = await stage.pool.fetchval(SEEN)
            for _ in range(2):
                found = await verifying.verify(new, "seen")
                assert (found.state, found.report and found.report.rows) == ("equal", 7)
                await rebuilding.start(new, "seen")
                await rebuilding.until_swapped(new, "seen")
                # A swap may leave the last events to the loop.
                await rebuilding.until_live(new, "seen")
                assert await stage.pool.fetchval(SEEN) == kept
                async with session(database) as own:
                    await own.execute("DROP SCHEMA sidecar_old_seen CASCADE")
