"""A release that renames a projection: nothing is written before a person says that it is one."""

from collections.abc import Iterable

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.acceptance import accept_renamed
from sidecar.postgres.dead_letters.dead_letter import discard
from sidecar.postgres.dead_letters.letter_deletions import list_deleted
from sidecar.projections.ports import State
from tests.postgres import rebuilding
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.setting_up import row_of, set_up
from tests.postgres.shop import BrokenOrderError, Placed
from tests.postgres.stage import Stage, open_stage, session


class Renamed(Totals):
    """Fills the table `totals` under whatever name."""

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        if event.order in self.broken:
            raise BrokenOrderError(event.order)
        await connection.execute(
            "INSERT INTO totals AS t VALUES ($1, $2, 1) ON CONFLICT (stream) DO UPDATE "
            "SET amount = t.amount + excluded.amount, events = t.events + 1",
            record.stream,
            event.amount,
        )

    async def setup(self, connection: Connection) -> None:
        await Totals().setup(connection)


def under(
    name: str, stage: Stage, *, partitions: int = 1, broken: Iterable[str] = ("bad",)
) -> Stage:
    """Return the database as a release sees it that calls the projection by another name."""
    totals = Renamed("totals", partitions=partitions)
    totals.broken = set(broken)
    totals.name = name  # type: ignore[misc] # as a release that renames it
    publisher = EventPublisher(stage.publisher.types)
    publisher.add_projection(totals)
    return Stage(stage.dsn, stage.pool, publisher, stage.policy)


async def hand_over(stage: Stage, new: str, old: str) -> bool:
    async with session(stage.dsn) as connection:
        return await accept_renamed(connection, new, old, "clearer")


@pytest.mark.parametrize("partitions", [1, 3])
async def test_all_that_is_known_of_the_old_name_moves_and_it_goes_on(
    database: str, partitions: int
) -> None:
    async with open_stage(database) as stage:
        old = under("totals", stage, partitions=partitions)
        await set_up(old)
        await stage.place("a", 1)
        await stage.place("b", 2, order="bad")
        await stage.place("c", 3, order="bad")
        await old.catch_up()
        letters = await stage.letters()
        async with session(database) as connection:
            await discard(connection, letters[0]["id"], "test order")
        # Of a verification under way.
        await stage.pool.execute("CREATE SCHEMA sidecar_verify_totals")
        before = await rebuilding.read(stage)
        new = under("amounts", stage, partitions=partitions)
        assert await set_up(new) == set()
        state, detail, _ = await row_of(stage, "amounts")
        assert state == State.FAILED
        assert "`sidecar projections accept amounts --renamed-from totals --reason TEXT`" in str(
            detail
        )
        assert await rebuilding.read(stage) == before
        assert await hand_over(stage, "amounts", "totals")
        assert not await hand_over(stage, "amounts", "totals")
        assert await set_up(new) == {"amounts"}
        await stage.place("a", 4)
        await new.catch_up()
        assert await rebuilding.read(stage) == [("a", 5, 2)]
        assert [(row["projection"], row["stream"]) for row in await stage.letters()] == [
            ("amounts", "c")
        ]
        left = await stage.pool.fetchval(
            "SELECT count(*) FROM (SELECT projection FROM sidecar.checkpoints UNION ALL "
            "SELECT projection FROM sidecar.dead_letters UNION ALL "
            "SELECT projection FROM sidecar.declarations UNION ALL "
            "SELECT projection FROM sidecar.handled_ranges) AS every WHERE projection = 'totals'"
        )
        assert left == 0
        assert not await stage.pool.fetchval("SELECT to_regnamespace('sidecar_verify_totals')")
        # A rollback of that release is the same the other way round.
        assert await set_up(old) == set()
        assert await hand_over(stage, "totals", "amounts")
        assert await set_up(old) == {"totals"}


async def test_what_was_given_up_stays_so_under_the_new_name_without_its_dead_letter(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        old = under("totals", stage)
        await set_up(old)
        await stage.place("a", 1)
        await stage.place("b", 2, order="bad")
        await old.catch_up()
        [letter] = await stage.letters()
        async with session(database) as connection:
            await discard(connection, letter["id"], "test order")
        # As retention does.
        await stage.pool.execute("DELETE FROM sidecar.dead_letters")
        # A release whose handler takes what failed before.
        new = under("amounts", stage, broken=())
        await set_up(new)
        await hand_over(stage, "amounts", "totals")
        async with rebuilding.working(new):
            await rebuilding.start(new, "amounts")
            await rebuilding.until_swapped(new, "amounts")
        assert await rebuilding.read(stage) == [("a", 1, 1)]


async def test_dead_letters_deleted_by_hand_are_told_under_the_new_name(database: str) -> None:
    async with open_stage(database) as stage:
        old = under("totals", stage)
        await set_up(old)
        await stage.place("b", 2, order="bad")
        await old.catch_up()
        await stage.pool.execute("DELETE FROM sidecar.dead_letters")
        await set_up(under("amounts", stage))
        await hand_over(stage, "amounts", "totals")
        async with session(database) as connection:
            assert [
                (name, deleted.letters)
                for name, deleted in (await list_deleted(connection)).items()
            ] == [("amounts", 1)]


async def test_a_name_that_runs_or_has_run_is_not_handed_over(database: str) -> None:
    async with open_stage(database) as stage:
        old = under("totals", stage)
        await set_up(old)
        await stage.place("a", 1)
        await old.catch_up()
        new = under("amounts", stage)
        await set_up(new)
        async with rebuilding.working(old) as worker:

            async def is_running() -> bool:
                return bool(worker.runners)

            await eventually(is_running)
            with pytest.raises(ProjectionError, match="A worker runs totals"):
                await hand_over(stage, "amounts", "totals")
        with pytest.raises(ProjectionError, match="no projection 'tootals'"):
            await hand_over(stage, "amounts", "tootals")
        with pytest.raises(ProjectionError, match="totals has run under its own name"):
            await hand_over(stage, "totals", "amounts")
