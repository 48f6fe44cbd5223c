"""A table that a projection declares when it has handled events without it is told."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.release import Release
from sidecar.postgres.lease import list_held
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.samples.sample import take_sample
from sidecar.postgres.tables.table_marks import accept_changes
from sidecar.projections.projection_status import Status
from sidecar.wiring.checks.read_model import judge_projection
from tests.postgres import rebuilding, verifying
from tests.postgres.eventually import eventually
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage, session

MAKE: Final = "CREATE TABLE IF NOT EXISTS {} (position bigint PRIMARY KEY)"
MAKE_IN_PARTS: Final = (
    "CREATE TABLE IF NOT EXISTS {} (position bigint PRIMARY KEY) PARTITION BY RANGE (position);"
    "CREATE TABLE IF NOT EXISTS part PARTITION OF {} DEFAULT"
)


class Listing:
    """Lists the positions of the orders above an amount, in each of its tables."""

    name = "listing"
    handles = (Placed,)

    def __init__(self, *tables: str, make: str = MAKE, above: int = 0, partitions: int = 1) -> None:
        self.tables: Final = tables
        self.partitions: Final = partitions
        self._make: Final = make
        self._above: Final = above

    async def setup(self, connection: Connection) -> None:
        for table in self.tables:
            await connection.execute(self._make.replace("{}", table))

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        for table in self.tables if event.amount > self._above else ():
            await connection.execute(f"INSERT INTO {table} VALUES ($1)", record.position)


async def release(database: str, listing: Listing, *amounts: int) -> Sequence[tuple[str, str]]:
    """Run a release until it has handled these orders, too; return what is told of its tables."""
    async with open_stage(database, listing) as stage:
        for amount in amounts:
            await stage.place(f"order-{amount}", amount)
        await stage.catch_up()
        return await told_of(stage)


async def execute(database: str, statement: str) -> None:
    """Run what a migration of the service runs."""
    async with session(database) as connection:
        await connection.execute(statement)


async def told_of(stage: Stage) -> Sequence[tuple[str, str]]:
    async with session(stage.dsn) as connection:
        (status,) = (await take_sample(connection, SafeHeadFollower())).projections
    return [(each.table, each.change.value) for each in status.changes]


@pytest.mark.parametrize(
    ("tables", "partitions", "told"),
    [(["other"], 1, ["other"]), (["listing", "other", "more"], 3, ["more", "other"])],
)
async def test_a_table_that_a_release_adds_is_told_until_it_is_filled(
    database: str, tables: list[str], partitions: int, told: list[str]
) -> None:
    assert await release(database, Listing("listing", partitions=partitions), 1, 2, 3) == []
    expected = [(table, "unfilled") for table in told]
    assert await release(database, Listing(*tables, partitions=partitions), 4) == expected
    async with (
        open_stage(database, Listing(*tables, partitions=partitions)) as stage,
        verifying.working(stage),
    ):
        assert await told_of(stage) == expected
        assert (await verifying.verify(stage, "listing")).state == "drifted"
        await rebuilding.start(stage, "listing")
        await rebuilding.until_swapped(stage, "listing")
        assert await told_of(stage) == []
        assert (await verifying.verify(stage, "listing")).state == "equal"


async def test_it_is_a_warning_with_the_commands_that_settle_it(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    await release(database, Listing("listing"), 1)
    async with open_stage(database, Listing("other")) as stage, session(database) as connection:
        (status,) = (await take_sample(connection, SafeHeadFollower())).projections
        caught_up = replace(status, status=Status.CAUGHT_UP)
        result = judge_projection("projection-listing", caught_up, 0.0, 30.0)
        assert (result.outcome, result.reason) == ("warn", "projection-listing.unfilled")
        assert "`sidecar projections rebuild listing` fills it anew" in str(status.detail)
        lines = [record for record in caplog.records if hasattr(record, "change")]
        assert [(line.levelname, vars(line)["table"]) for line in lines] == [("WARNING", "other")]
        assert await accept_changes(connection, "listing", "only new orders") == ["other"]
        assert await told_of(stage) == []


async def test_a_table_that_is_rightly_empty_is_settled_by_a_verification(database: str) -> None:
    await release(database, Listing("listing"), 1, 2)
    assert await release(database, Listing("other", above=10), 3) == [("other", "unfilled")]
    async with (
        open_stage(database, Listing("other", above=10)) as stage,
        verifying.working(stage),
    ):
        assert (await verifying.verify(stage, "listing")).state == "equal"
        assert await told_of(stage) == []


@pytest.mark.parametrize(
    "move",
    [
        "ALTER TABLE IF EXISTS listing RENAME TO {}",
        "CREATE TABLE IF NOT EXISTS {} AS TABLE listing",
    ],
)
async def test_what_the_setup_of_the_release_fills_itself_is_not_told(
    database: str, move: str
) -> None:
    await release(database, Listing("listing"), 1, 2)
    assert await release(database, Listing("other", make=move), 3) == []
    assert await release(database, Listing("other", make=MAKE), 4) == []


async def test_a_table_that_others_filled_meanwhile_is_told_and_one_that_they_renamed_is_not(
    database: str,
) -> None:
    await release(database, Listing("listing"), 1)
    await execute(database, "ALTER TABLE listing RENAME TO renamed")
    assert await release(database, Listing("renamed"), 2) == []
    # A copy is made while events are handled.
    await execute(database, "CREATE TABLE copied AS TABLE renamed")
    await release(database, Listing("renamed"), 3)
    assert await release(database, Listing("copied"), 4) == [("copied", "unfilled")]


async def test_what_an_older_release_handled_once_its_table_had_another_name_is_told(
    database: str,
) -> None:
    await release(database, Listing("listing"), 1)
    await execute(database, "ALTER TABLE listing RENAME TO renamed")
    # It has not heard of that, and makes its table again.
    assert await release(database, Listing("listing"), 2) == [("listing", "replaced")]
    assert await release(database, Listing("renamed"), 3) == [("renamed", "unfilled")]


async def test_a_release_that_is_rolled_back_lacks_what_was_handled_meanwhile(
    database: str,
) -> None:
    for _ in range(2):
        assert await release(database, Listing("listing", "kept"), 1) == []
        # Nothing is handled meanwhile, so that nothing lacks.
        await release(database, Listing("kept"))
    assert await release(database, Listing("listing", "kept")) == []
    await release(database, Listing("kept"), 2)
    back = Listing("listing", "kept")
    assert await release(database, back, 3) == [("listing", "unfilled")]
    # However often it starts, and also in another release.
    assert await release(database, back) == [("listing", "unfilled")]
    assert await release(database, Listing("kept")) == []
    assert await release(database, back) == [("listing", "unfilled")]


async def test_one_of_which_nothing_is_known_from_before_is_not_told(database: str) -> None:
    assert await release(database, Listing(), 1) == []
    assert await release(database, Listing("listing"), 2) == []


async def test_a_projection_whose_code_is_another_is_told_of_the_first_tables_that_it_declares(
    database: str,
) -> None:
    await release(database, Listing(), 1)
    async with open_stage(database, Listing()) as stage, session(database) as connection:
        for code in ("before", "after"):
            known = Release(stage.handled, fingerprints={"listing": code})
            await known.declare(connection, ["listing"])
    assert await release(database, Listing("listing"), 2) == [("listing", "unfilled")]


async def test_a_table_in_parts_is_told(database: str) -> None:
    await release(database, Listing("listing"), 1)
    parts = Listing("parts", make=MAKE_IN_PARTS)
    assert await release(database, parts, 2) == [("parts", "unfilled")]


async def test_another_service_that_uses_the_name_while_one_runs_is_told(database: str) -> None:
    async with (
        open_stage(database, Listing("ours")) as ours,
        verifying.working(ours),
        session(database) as connection,
    ):

        async def is_run() -> bool:
            return bool(await list_held(connection))

        await eventually(is_run)
        async with open_stage(database, Listing("theirs")) as theirs:
            assert await told_of(theirs) == [("theirs", "unfilled")]


async def test_what_is_not_declared_now_is_not_settled_by_a_verification(database: str) -> None:
    await release(database, Listing("listing"), 1)
    await release(database, Listing("listing", "other"), 2)
    async with open_stage(database, Listing("listing")) as stage, verifying.working(stage):
        assert (await verifying.verify(stage, "listing")).state == "equal"
    both = Listing("listing", "other")
    assert await release(database, both) == [("other", "unfilled")]
