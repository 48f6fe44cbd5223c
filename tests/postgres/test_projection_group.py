"""Projections that fill one table, as one group: rebuilt, verified, parked and paused as one."""

import asyncio

import pytest

from sidecar.errors import ProjectionError, SharedTableError
from sidecar.postgres.checkpoints import block
from sidecar.postgres.checkpoints.acceptance import accept_position
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.rebuild import refill
from sidecar.postgres.samples.sample import take_sample
from sidecar.postgres.verify.verification import request_verification
from sidecar.projections.ports import State
from sidecar.testing import check_projection
from tests.postgres import grouping, rebuilding, verifying
from tests.postgres.grouping import Doubles, Orders, Payments, make_group, release_of, trade
from tests.postgres.setting_up import make_setups, row_of, set_up
from tests.postgres.shop import Paid, Placed, types
from tests.postgres.stage import fetchval, open_stage, session

# As two of an older version have left it, which no claim of a table kept apart.
APART = """
    WITH gone AS (DELETE FROM sidecar.checkpoints RETURNING *), made AS (
        INSERT INTO sidecar.checkpoints (projection, partition, partitions, kind, tables, position)
        SELECT name, partition, partitions, kind, tables, position
        FROM gone CROSS JOIN unnest($1::text[]) AS name
    ), unmarked AS (DELETE FROM sidecar.table_marks), forgotten AS (
        DELETE FROM sidecar.handled_ranges
    )
    SELECT max(position) FROM gone
"""


async def test_one_rebuild_makes_the_rows_of_all_members_again_in_the_order_of_the_log(
    database: str,
) -> None:
    orders = Orders()
    async with open_stage(database, make_group(orders, Payments())) as stage:
        orders.factor = 2
        await trade(stage)
        await stage.catch_up()
        assert await grouping.read(stage) == await grouping.expect(stage, factor=2)
        orders.factor = 1
        async with rebuilding.working(stage):
            async with grouping.waiting_for_the_swap(stage):
                await trade(stage)
            await rebuilding.until_swapped(stage, grouping.NAME)
            await rebuilding.until_live(stage, grouping.NAME)
        assert await grouping.read(stage) == await grouping.expect(stage)


async def test_rebuild_that_is_cut_off_in_the_middle_again_and_again_ends_right(
    database: str,
) -> None:
    async with open_stage(database, make_group()) as stage:
        await trade(stage, accounts=20, rounds=8)
        await stage.catch_up()
        await rebuilding.start(stage, grouping.NAME)
        payments = Payments()
        payments.stops_above = 60
        cut = release_of(stage, make_group(Orders(), payments))
        for _ in range(2):
            worker = rebuilding.make_worker(cut)
            task = asyncio.create_task(worker.run())
            payments.stopped.clear()
            await payments.stopped.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await grouping.read(stage) == await grouping.expect(stage)
        async with rebuilding.working(stage):
            await rebuilding.until_swapped(stage, grouping.NAME)
            await rebuilding.until_live(stage, grouping.NAME)
        assert await grouping.read(stage) == await grouping.expect(stage)


async def test_rebuild_in_place_empties_and_fills_for_all_members(database: str) -> None:
    async with open_stage(database, make_group()) as stage:
        await trade(stage)
        await stage.catch_up()
        await stage.pool.execute("UPDATE accounts SET spent = 0, paid = 0")
        async with session(database) as connection:
            await refill.refill(connection, grouping.NAME)
        assert await grouping.read(stage) == []
        await stage.catch_up()
        assert await grouping.read(stage) == await grouping.expect(stage)


@pytest.mark.parametrize("partitions", [1, 3])
async def test_verification_compares_what_all_members_make(database: str, partitions: int) -> None:
    members = Orders(partitions=partitions), Doubles(partitions=partitions)
    async with open_stage(database, make_group(*members)) as stage:
        await stage.store.append("order-a", [Placed("a", 1), Placed("a", 2)])
        await stage.store.append("order-b", [Placed("b", 3)])
        await stage.catch_up()
        async with verifying.working(stage):
            assert (await verifying.verify(stage, grouping.NAME)).state == "equal"
            await stage.pool.execute("UPDATE accounts SET paid = 7 WHERE account = 'a'")
            found = await verifying.verify(stage, grouping.NAME)
        assert found.state == "drifted"
        assert found.report is not None
        (difference,) = found.report.tables[0].differences
        assert (difference.key, difference.columns) == (("a",), ("paid",))


async def test_event_that_one_member_fails_for_is_parked_for_all_and_applied_by_all_later(
    database: str,
) -> None:
    payments = Payments()
    async with open_stage(database, make_group(Orders(), payments)) as stage:
        payments.broken = {"a1"}
        await trade(stage)
        await stage.catch_up()
        (letter,) = await stage.letters()
        assert (letter["stream"], letter["error_type"]) == ("payment-a1", "BrokenOrderError")
        assert "Raised by payments, a member of accounts." in letter["traceback"]
        expected = {account: row for account, *row in await grouping.expect(stage)}
        rows = {account: row for account, *row in await grouping.read(stage)}
        assert rows == {**expected, "a1": [*expected["a1"][:2], None]}
        # Its rebuild halts at the event; the live copy goes on.
        async with rebuilding.working(stage):
            await rebuilding.start(stage, grouping.NAME)
            assert "payment-a1" in await rebuilding.until_halted(stage, grouping.NAME)
            payments.broken = set()
            await rebuilding.start(stage, grouping.NAME)
            await rebuilding.until_swapped(stage, grouping.NAME)
            await rebuilding.until_live(stage, grouping.NAME)
        assert await stage.letters() == []
        assert await grouping.read(stage) == await grouping.expect(stage)


async def test_two_that_are_no_group_are_refused_and_told_of_it(database: str) -> None:
    async with open_stage(database) as stage:
        apart = release_of(stage, Orders(), Payments())
        assert await set_up(apart) == set()
        assert "add both as one `ProjectionGroup`" in str((await row_of(apart, "orders"))[1])


async def test_member_that_is_added_beside_its_group_is_refused(database: str) -> None:
    async with open_stage(database, make_group()) as stage:
        await trade(stage)
        await stage.catch_up()
        beside = release_of(stage, make_group(), Payments())
        assert await set_up(beside) == {grouping.NAME}
        assert (await row_of(beside, "payments"))[0] == State.FAILED


async def test_older_release_that_runs_them_apart_touches_nothing(database: str) -> None:
    async with open_stage(database, make_group()) as stage:
        await trade(stage)
        await stage.catch_up()
        apart = release_of(stage, Orders(), Payments())
        async with session(database) as connection:
            setups = make_setups(apart)
            await setups.register(connection)
            await setups.run()
        assert setups.ready == ()
        for name in ("orders", "payments"):
            assert (await row_of(apart, name))[0] == State.FAILED
        assert await grouping.read(stage) == await grouping.expect(stage)


async def test_two_that_filled_a_table_apart_become_a_group_by_remove_and_rebuild(
    database: str,
) -> None:
    async with open_stage(database, Orders()) as stage:
        await stage.pool.execute(
            "INSERT INTO sidecar.checkpoints (projection, partition, "
            "partitions, kind, tables, position) VALUES ('payments', 0, 1, 'projection', "
            "'{accounts}', 3)"
        )
        await trade(stage)
        await stage.catch_up()
        group = release_of(stage, make_group())
        assert await set_up(group) == set()
        assert "sidecar projections remove orders" in str((await row_of(group, grouping.NAME))[1])
        async with session(database) as connection:
            assert await block.remove(connection, "orders")
            assert await block.remove(connection, "payments")
        assert await set_up(group) == {grouping.NAME}
        assert "accounts is filled" in str((await row_of(group, grouping.NAME))[1])
        await rebuilding.start(group, grouping.NAME)
        async with rebuilding.working(group):
            await rebuilding.until_swapped(group, grouping.NAME)
            await rebuilding.until_live(group, grouping.NAME)
        assert (await row_of(group, grouping.NAME))[0] == State.RUNNING
        assert await grouping.read(group) == await grouping.expect(group)


async def test_two_that_stand_at_one_position_become_a_group_by_remove_and_accept(
    database: str,
) -> None:
    async with open_stage(database, make_group()) as stage:
        await trade(stage)
        await stage.catch_up()
        position = await stage.pool.fetchval(APART, ["orders", "payments"])
        group = release_of(stage, make_group())
        await set_up(group)
        async with session(database) as connection:
            assert await block.remove(connection, "orders")
            assert await block.remove(connection, "payments")
            await set_up(group)
            accepted = await accept_position(connection, grouping.NAME, position, "one group now")
        assert accepted == position
        await trade(stage)
        await set_up(group)
        await group.catch_up()
        assert await grouping.read(group) == await grouping.expect(group)


async def test_commands_about_a_member_name_its_group_and_a_pause_is_of_all(database: str) -> None:
    async with open_stage(database, make_group()) as stage:
        await trade(stage)
        await stage.catch_up()
        async with session(database) as connection:
            for command in (
                set_state(connection, "payments", State.PAUSED),
                rebuilding.start(stage, "payments"),
                request_verification(connection, "payments"),
                block.remove(connection, "payments"),
            ):
                with pytest.raises(ProjectionError, match="payments is a member of accounts"):
                    await command
            before = await grouping.read(stage)
            await set_state(connection, grouping.NAME, State.PAUSED)
            await trade(stage)
            async with rebuilding.working(stage):
                await stage.advance()
                assert await grouping.read(stage) == before
                await set_state(connection, grouping.NAME, State.RUNNING)
                await rebuilding.until_live(stage, grouping.NAME)
        assert await grouping.read(stage) == await grouping.expect(stage)


async def test_remove_leaves_the_rows_of_every_member(database: str) -> None:
    async with open_stage(database, make_group()) as stage:
        await trade(stage)
        await stage.catch_up()
        async with session(database) as connection:
            assert await block.remove(connection, grouping.NAME)
        assert await grouping.read(stage) == await grouping.expect(stage)


async def test_one_table_under_two_spellings_is_told(database: str) -> None:
    payments = Payments()
    payments.tables = ("public.accounts",)
    async with open_stage(database) as stage:
        odd = release_of(stage, make_group(Orders(), payments))
        with pytest.raises(SharedTableError, match=r"as accounts and as public\.accounts"):
            await odd.register()


async def test_group_is_checked_as_one_projection(database: str) -> None:
    events = [Placed("a", 1), Paid("a"), Placed("a", 2), Paid("b"), Paid("a"), Placed("b", 3)]
    found = await check_projection(make_group(), events, types=types, database=database)
    rows = [(row["account"], row["spent"], row["paid"]) for row in found.rows["accounts"]]
    assert rows == [("a", 3, 4), ("b", 3, None)]
    assert await fetchval(database, "SELECT to_regclass('accounts')") is None


async def test_members_are_told_where_projections_are_listed(database: str) -> None:
    async with open_stage(database, make_group()) as stage:
        await trade(stage)
        await stage.catch_up()
        async with session(database) as connection:
            sample = await take_sample(connection, SafeHeadFollower())
        (status,) = sample.projections
        assert (status.name, status.detail) == ("accounts", "runs orders and payments as one")
