"""Whatever order releases come in: an event is applied, or it is told that it was passed over."""

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import msgspec
import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes
from sidecar.health.outcome import Outcome
from sidecar.postgres import passed_over_counter
from sidecar.postgres.block import accept_passed_over, accept_position
from sidecar.postgres.passed_over_counter import PassedOverCounter
from sidecar.postgres.safe_head_follower import SafeHeadFollower
from sidecar.postgres.sample import Sample, take_sample
from sidecar.projections.passed_over import PassedOver
from sidecar.projections.ports import State
from sidecar.projections.projection_status import ProjectionStatus, Status
from sidecar.wiring.checks.read_model import judge_projection
from sidecar.wiring.headline import describe
from tests.observed import ready_state
from tests.postgres import rebuilding
from tests.postgres.setting_up import row_of, set_up
from tests.postgres.stage import Stage, open_stage, session

KINDS: Final = ("Placed", "Paid", "Refunded", "Cancelled")


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
    """

    def __init__(
        self,
        stage: Stage,
        handles: Iterable[str] | None,
        *,
        known: Iterable[str] | None = None,
        retired: Iterable[str] = (),
        partitions: int = 1,
    ) -> None:
        types = EventTypes()
        for name in known if known is not None else handles or ():
            types.register(name=name)(msgspec.defstruct(name, [], frozen=True))
        for name in retired:
            types.retire(name)
        classes = [found.cls for name in handles or () if (found := types.find(name))]
        publisher = EventPublisher(types)
        self.projection: Final = Seen(classes, partitions)
        publisher.add_projection(self.projection)
        self.stage: Final = Stage(stage.dsn, stage.pool, publisher, stage.policy)

    async def run(self) -> None:
        """Start it, let it do all there is to do, and stop it."""
        await set_up(self.stage)
        await self.stage.catch_up()

    async def told(self) -> dict[str, int]:
        """Count as its worker does, and return what is told, by type."""
        await count(self.stage)
        return {one.type: one.events for one in (await status_of(self.stage)).passed_over}


async def count(stage: Stage) -> None:
    async with session(stage.dsn) as connection:
        retired = stage.publisher.types.retired
        await PassedOverCounter(stage.handled, retired).count(connection)


async def status_of(stage: Stage) -> ProjectionStatus:
    async with session(stage.dsn) as connection:
        sample = await take_sample(connection, SafeHeadFollower())
    (projection,) = sample.projections
    return projection


async def append(stage: Stage, *kinds: str) -> None:
    for number, kind in enumerate(kinds):
        await stage.insert(f"s{number % 3}", kind, "{}")


async def test_a_type_that_the_worker_did_not_know_yet_is_told_at_its_next_start(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stage(database) as stage:
        await append(stage, "Placed", "Cancelled", "Placed", "Cancelled", "Unheard")
        old = Release(stage, None, known=["Placed"])
        await old.run()
        assert await old.told() == {}
        new = Release(stage, None, known=["Placed", "Cancelled"])
        await set_up(new.stage)
        # Before it has done anything.
        assert await new.told() == {"Cancelled": 2}
        assert "2 of Cancelled (positions 2 to 4)" in caplog.text
        await new.run()
        projection = await status_of(new.stage)
        assert projection.passed_over == (PassedOver("Cancelled", 2, 2, 4),)
        assert "`sidecar projections rebuild seen`" in str(projection.detail)
        owned = replace(projection, status=Status.CAUGHT_UP)
        judged = judge_projection("projection-seen", owned, 0.0, 60.0)
        assert (judged.outcome, judged.reason) == (Outcome.WARN, "projection-seen.passed-over")
        async with rebuilding.working(new.stage):
            await rebuilding.start(new.stage, "seen")
            await rebuilding.until_swapped(new.stage, "seen")
        assert await new.told() == {}
        assert await stage.pool.fetchval("SELECT count(*) FROM seen") == 4


async def test_a_long_log_is_counted_in_strides(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passed_over_counter, "STRIDE_POSITIONS", 3)
    async with open_stage(database) as stage:
        await append(stage, *("Placed", "Paid") * 10)
        await Release(stage, ["Placed"]).run()
        assert await Release(stage, ["Placed", "Paid"]).told() == {"Paid": 10}


async def test_what_an_older_release_passes_over_is_told_while_it_runs(database: str) -> None:
    async with open_stage(database) as stage:
        new, old = Release(stage, ["Placed", "Refunded"]), Release(stage, ["Placed"])
        await append(stage, "Placed", "Refunded")
        await new.run()
        await old.run()
        await append(stage, "Refunded", "Placed", "Refunded")
        await old.run()
        assert await old.told() == {"Refunded": 2}
        await append(stage, "Refunded")
        await old.run()
        assert await old.told() == {"Refunded": 3}
        await append(stage, "Refunded")
        await new.run()
        assert await new.told() == {"Refunded": 3}


async def test_a_type_that_nobody_wants_is_told_until_that_is_said(database: str) -> None:
    async with open_stage(database) as stage:
        await append(stage, "Placed", "Paid")
        await Release(stage, ["Placed", "Paid"]).run()
        narrow = Release(stage, ["Placed"], known=["Placed", "Paid"])
        await narrow.run()
        await append(stage, "Paid")
        await narrow.run()
        assert await narrow.told() == {"Paid": 1}
        async with session(database) as connection:
            assert await accept_passed_over(connection, "seen", "billing does it now") == 1
            with pytest.raises(ProjectionError, match="nothing to accept"):
                await accept_passed_over(connection, "seen", "again")
        await append(stage, "Paid")
        await narrow.run()
        assert await narrow.told() == {}
        # Wanted again, it is told from where that was accepted.
        wide = Release(stage, ["Placed", "Paid"])
        await wide.run()
        assert await wide.told() == {"Paid": 1}
        gone = Release(stage, ["Placed"], retired=["Paid"])
        await gone.run()
        assert await gone.told() == {}


@pytest.mark.parametrize("seed", range(4))
async def test_in_random_deployments_each_event_is_applied_or_told(
    database: str, seed: int
) -> None:
    chance = random.Random(seed)
    partitions = chance.choice((1, 3))
    async with open_stage(database) as stage:
        wanted: set[str] = set()
        for _ in range(8):
            handles = chance.sample(KINDS, chance.randint(1, len(KINDS)))
            release = Release(stage, handles, partitions=partitions)
            await append(stage, *chance.choices(KINDS, k=chance.randint(1, 9)))
            if chance.random() < 0.2:
                # It ends before it has done anything.
                await set_up(release.stage)
                continue
            await release.run()
            wanted |= set(handles)
            missing = Counter(
                row["type"]
                for row in await stage.pool.fetch(
                    "SELECT type FROM sidecar.events "
                    "WHERE type = ANY($1) AND position NOT IN (SELECT position FROM seen)",
                    list(wanted),
                )
            )
            assert await release.told() == dict(missing)


async def test_a_checkpoint_that_was_deleted_while_nobody_ran_is_noticed_by_what_it_did(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        await append(stage, "Placed", "Placed")
        release = Release(stage, ["Placed"])
        await release.run()
        await stage.pool.execute("DELETE FROM sidecar.checkpoints; TRUNCATE seen")
        await append(stage, "Placed")
        await set_up(release.stage)
        state, detail, _ = await row_of(stage, "seen")
        assert state == State.FAILED
        assert "was deleted" in str(detail)
        async with session(database) as connection:
            await accept_position(connection, "seen", 2, "restored")
        await release.run()
        assert [row["position"] for row in await stage.pool.fetch("TABLE seen")] == [3]


def test_the_sentence_names_type_count_and_command() -> None:
    told = tuple(PassedOver(f"Type{n}", n, 1, n) for n in range(1, 8))
    now = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
    projection = ProjectionStatus(
        "seen", "projection", Status.CAUGHT_UP, 10, 0, 0.0, 0, 0, (), now, passed_over=told
    )
    sentence = describe(ready_state(Sample(now, 10, 10, 0.0, (), 0, (projection,), (), {})))
    assert "1 of Type1 (position 1), 2 of Type2 (positions 1 to 2)" in sentence
    assert "2 more types" in sentence
    assert "`sidecar projections rebuild seen`" in sentence
