"""Who joins a group late lacks what was applied before; that is told, and never silently so."""

from contextlib import AsyncExitStack

import pytest

from sidecar.errors import ProjectionError
from sidecar.postgres.checkpoints import block
from sidecar.postgres.checkpoints.acceptance import accept_joined, accept_position, accept_renamed
from sidecar.postgres.checkpoints.checkpoint import register, set_state
from sidecar.postgres.rebuild import rebuild, refill
from sidecar.projections.ports import State
from tests.postgres import grouping, rebuilding, verifying
from tests.postgres.eventually import eventually
from tests.postgres.grouping import Doubles, Orders, Payments, make_group, release_of, trade
from tests.postgres.setting_up import row_of, set_up
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage, session

JOINED = "doubles joined accounts at position"


async def members_of(stage: Stage) -> list[str] | None:
    query = "SELECT members FROM sidecar.checkpoints WHERE projection = $1 AND copy = 'live'"
    found: list[str] | None = await stage.pool.fetchval(query, grouping.NAME)
    return found


async def until_blocked(stage: Stage) -> str:
    """Run a worker of a release until its group waits for a person, and return why."""

    async def is_blocked() -> bool:
        return (await row_of(stage, grouping.NAME))[0] == State.FAILED

    async with rebuilding.working(stage):
        await eventually(is_blocked)
    return str((await row_of(stage, grouping.NAME))[1])


async def orders_alone(stage: Stage) -> None:
    """Let a group of one member apply what is in the log."""
    await stage.store.append("order-a", [Placed("a", 1), Placed("a", 2)])
    await stage.catch_up()


async def test_member_that_joins_waits_and_a_rebuild_lets_it_in(database: str) -> None:
    async with open_stage(database, make_group(Orders())) as stage:
        await orders_alone(stage)
        after = release_of(stage, make_group(Orders(), Doubles()))
        assert f"{JOINED} 2" in await until_blocked(after)
        await stage.store.append("order-a", [Placed("a", 3)])
        # The release before does not go on either: a person decides.
        async with rebuilding.working(after):
            await rebuilding.start(after, grouping.NAME)
            await rebuilding.until_swapped(after, grouping.NAME)
            await rebuilding.until_live(after, grouping.NAME)
        assert (await row_of(after, grouping.NAME))[:2] == (State.RUNNING, None)
        assert await members_of(after) == ["doubles", "orders"]
        assert await grouping.read(after) == await grouping.expect(after, doubles=True)


async def test_accept_takes_the_tables_as_they_are_once_and_keeps_the_reason(
    database: str,
) -> None:
    async with open_stage(database, make_group(Orders())) as stage:
        await orders_alone(stage)
        after = release_of(stage, make_group(Orders(), Doubles()))
        await until_blocked(after)
        async with session(database) as connection:
            assert await accept_joined(connection, grouping.NAME, "filled by hand")
            assert not await accept_joined(connection, grouping.NAME, "filled by hand")
        await stage.store.append("order-a", [Placed("a", 3)])
        async with rebuilding.working(after):
            await rebuilding.until_live(after, grouping.NAME)
        assert await grouping.read(after) == [("a", 3, 6, 6)]
        assert await members_of(after) == ["doubles", "orders"]
        kept = await stage.pool.fetchrow("SELECT what, reason FROM sidecar.acceptances")
        assert kept is not None
        assert (JOINED in kept["what"], kept["reason"]) == (True, "filled by hand")


async def test_release_in_which_nobody_joined_goes_on_meanwhile(database: str) -> None:
    async with open_stage(database, make_group(Orders())) as stage:
        await orders_alone(stage)
        after = release_of(stage, make_group(Orders(), Doubles()))
        await until_blocked(after)
        await stage.store.append("order-a", [Placed("a", 3)])
        async with rebuilding.working(stage):
            await rebuilding.until_live(stage, grouping.NAME)
        assert (await row_of(stage, grouping.NAME))[:2] == (State.RUNNING, None)
        assert await grouping.read(stage) == [("a", 3, 6, None)]
        assert f"{JOINED} 3" in await until_blocked(after)


async def test_release_without_a_member_does_not_take_its_rows_for_drift(database: str) -> None:
    async with open_stage(database, make_group(Orders(), Doubles())) as stage:
        await orders_alone(stage)
        before = release_of(stage, make_group(Orders()))
        async with verifying.working(before):
            found = await verifying.verify(before, grouping.NAME)
        assert "doubles made rows of accounts" in str(found.detail)
        async with verifying.working(stage):
            assert (await verifying.verify(stage, grouping.NAME)).state == "equal"


async def test_rollback_to_a_release_without_a_member_is_told_when_it_comes_back(
    database: str,
) -> None:
    both = make_group(Orders(), Doubles())
    async with open_stage(database, both) as stage:
        await orders_alone(stage)
        before = release_of(stage, make_group(Orders()))
        await stage.store.append("order-a", [Placed("a", 3)])
        await before.catch_up()
        assert await members_of(stage) == ["orders"]
        assert f"{JOINED} 3" in await until_blocked(release_of(stage, both))


async def test_member_joins_at_once_where_it_lacks_nothing(database: str) -> None:
    async with open_stage(database, make_group(Orders())) as stage:
        await orders_alone(stage)
        after = release_of(stage, make_group(Orders(), Payments()))
        assert await set_up(after) == {grouping.NAME}
        await trade(after)
        await after.catch_up()
        assert (await row_of(after, grouping.NAME))[:2] == (State.RUNNING, None)
        assert await members_of(after) == ["orders", "payments"]
        assert await grouping.read(after) == await grouping.expect(after)


async def test_events_that_no_member_wanted_before_are_told_as_passed_over(database: str) -> None:
    async with open_stage(database, make_group(Orders())) as stage:
        # As a writer does that declares nothing.
        await stage.insert("payment-a", "Paid", '{"order": "a"}')
        await orders_alone(stage)
        after = release_of(stage, make_group(Orders(), Payments()))
        await set_up(after)
        assert "it passed over events that it handles now: 1 of Paid" in str(
            (await row_of(after, grouping.NAME))[1]
        )


async def test_projection_becomes_a_group_of_its_name_with_its_checkpoint(database: str) -> None:
    alone = Orders()
    alone.name = grouping.NAME
    async with open_stage(database, alone) as stage:
        await orders_alone(stage)
        same = release_of(stage, make_group(alone))
        await stage.store.append("order-a", [Placed("a", 3)])
        await same.catch_up()
        assert await grouping.read(stage) == [("a", 3, 6, None)]
        after = release_of(stage, make_group(alone, Doubles()))
        assert f"{JOINED} 3" in await until_blocked(after)


async def test_renamed_projection_brings_its_checkpoint_and_waits(
    database: str,
) -> None:
    async with open_stage(database, Orders()) as stage:
        await orders_alone(stage)
        after = release_of(stage, make_group(Orders(), Doubles()))
        await set_up(after)
        async with session(database) as connection:
            assert await accept_renamed(connection, grouping.NAME, "orders", "one group now")
        assert "doubles and orders joined accounts" in await until_blocked(after)
        assert await grouping.read(stage) == [("a", 2, 3, None)]


@pytest.mark.parametrize("way", ["restored", "divided", "taken", "in place"])
async def test_members_are_known_wherever_a_checkpoint_comes_from(database: str, way: str) -> None:
    both = make_group(Orders(), Doubles())
    async with open_stage(database, both) as stage:
        await orders_alone(stage)
        async with session(database) as connection:
            if way == "divided":
                both = make_group(Orders(partitions=2), Doubles(partitions=2))
            elif way == "in place":
                await refill.refill(connection, grouping.NAME)
            else:
                await connection.execute("DELETE FROM sidecar.checkpoints")
            after = release_of(stage, both)
            for subscription in after.subscriptions.values():
                await register(connection, subscription)
            if way == "restored":
                assert await block.restore(connection, grouping.NAME) == {0: 2}
            elif way == "taken":
                assert await accept_position(connection, grouping.NAME, 2, "as it was") == 2
        await stage.store.append("order-a", [Placed("a", 3)])
        async with rebuilding.working(after):
            await rebuilding.until_live(after, grouping.NAME)
        assert await grouping.read(after) == await grouping.expect(after, doubles=True)
        assert await members_of(after) == ["doubles", "orders"]


async def test_member_that_joins_during_a_rebuild_halts_it(database: str) -> None:
    async with open_stage(database, make_group(Orders())) as stage:
        await orders_alone(stage)
        async with AsyncExitStack() as stack:
            async with rebuilding.working(stage):
                await stack.enter_async_context(grouping.waiting_for_the_swap(stage))
            after = release_of(stage, make_group(Orders(), Doubles()))
            async with rebuilding.working(after):
                told = await rebuilding.until_halted(after, grouping.NAME)
        assert "doubles joined accounts since it began" in told
        async with session(database) as connection:
            await rebuild.cancel_rebuild(connection, grouping.NAME)
        await rebuilding.start(after, grouping.NAME)
        async with rebuilding.working(after):
            await rebuilding.until_swapped(after, grouping.NAME)
            await rebuilding.until_live(after, grouping.NAME)
        assert await grouping.read(after) == await grouping.expect(after, doubles=True)


async def test_group_that_waits_for_a_decision_is_not_resumed(
    database: str,
) -> None:
    async with open_stage(database, make_group(Orders())) as stage:
        await orders_alone(stage)
        after = release_of(stage, make_group(Orders(), Doubles()))
        await until_blocked(after)
        async with session(database) as connection:
            with pytest.raises(ProjectionError, match=JOINED):
                await set_state(connection, grouping.NAME, State.RUNNING)
