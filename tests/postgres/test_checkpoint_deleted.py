"""A checkpoint that is gone, or never was: nothing is replayed onto what is filled already."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from sidecar.errors import ProjectionError
from sidecar.postgres.checkpoints.acceptance import accept_position
from sidecar.postgres.checkpoints.block import remove
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.lease import open_leases
from sidecar.projections.ports import State
from sidecar.projections.worker import Worker
from tests.postgres import rebuilding
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.setting_up import make_setups, row_of, set_up
from tests.postgres.shop import Journal, Mailer
from tests.postgres.stage import Stage, open_stage, session

DELETE = "DELETE FROM sidecar.checkpoints WHERE projection = $1"


def make_worker(stage: Stage) -> Worker:
    """Make a worker that registers again what lost its checkpoint, as `sidecar run` does."""
    worker = rebuilding.make_worker(stage)
    worker._open_leases = partial(
        open_leases,
        stage.dsn,
        lambda: stage.partitions,
        application_name="lease",
        restore=make_setups(stage).register_again,
    )
    return worker


@asynccontextmanager
async def working(stage: Stage) -> AsyncIterator[Worker]:
    worker = make_worker(stage)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
        assert not task.done()
    finally:
        worker.stop()
        await task


async def until_detail(stage: Stage, name: str, *words: str) -> None:
    async def is_told() -> bool:
        rows = await stage.pool.fetch(
            "SELECT state, detail FROM sidecar.checkpoints WHERE projection = $1", name
        )
        return bool(rows) and all(
            row["state"] == State.FAILED and all(word in row["detail"] for word in words)
            for row in rows
        )

    await eventually(is_told)


async def test_a_deleted_checkpoint_stops_its_projection_alone_and_a_rebuild_puts_it_right(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    totals, journal = Totals(partitions=2), Journal()
    async with open_stage(database, totals, journal, handlers=[Mailer()]) as stage:
        await stage.place("a", 1, 2)
        await stage.place("b", 3)
        async with working(stage) as worker:
            await rebuilding.until_live(stage)
            before = await rebuilding.read(stage)
            for name in ("totals", "mailer"):
                await stage.pool.execute(DELETE, name)
            await until_detail(stage, "totals", "totals is filled", "rebuild totals", "accept")
            await until_detail(stage, "mailer", "was deleted", "--replay-effects", "accept")
            await stage.place("a", 4)
            await rebuilding.until_live(stage, "journal")
            assert await rebuilding.read(stage) == before
            async with session(database) as connection:
                with pytest.raises(ProjectionError, match="waits for a decision"):
                    await set_state(connection, "totals", State.RUNNING)
            await rebuilding.start(stage)
            # A partition that is a few events behind catches up after the swap.
            await rebuilding.until_swapped(stage)
            await rebuilding.until_live(stage)
            assert await rebuilding.read(stage) == await rebuilding.oracle(stage)
            await stage.place("b", 5)
            await rebuilding.until_live(stage)
            assert await rebuilding.read(stage) == await rebuilding.oracle(stage)
            assert {p.projection for p in worker.runners} == {"totals", "journal", "mailer"}
    assert "another release" not in caplog.text
    assert caplog.text.count("are gone from the database") == 1


async def test_a_filled_table_without_a_checkpoint_is_taken_as_it_is_at_a_position_of_ones_choice(
    database: str,
) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1, 2)
        await stage.catch_up()
        await stage.pool.execute(DELETE, "totals")
        await stage.place("a", 3)
        assert await set_up(stage) == {"totals"}
        # A start changes nothing about it, however often.
        assert await set_up(stage) == {"totals"}
        assert (await row_of(stage, "totals"))[0] == State.FAILED
        async with session(database) as connection:
            with pytest.raises(ProjectionError, match="its last is 3"):
                await accept_position(connection, "totals", 4, "")
            await accept_position(connection, "totals", 2, "compared by hand")
            with pytest.raises(ProjectionError, match="nothing to accept"):
                await accept_position(connection, "totals", 2, "again")
        await stage.catch_up()
        assert await rebuilding.read(stage) == await rebuilding.oracle(stage)
        kept = await stage.pool.fetchrow("SELECT projection, what, reason FROM sidecar.acceptances")
        assert kept is not None
        assert kept["reason"] == "compared by hand"
        assert "2" in kept["what"]


async def test_a_table_that_was_emptied_meanwhile_is_filled_from_the_first_event(
    database: str,
) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1, 2)
        await stage.catch_up()
        await stage.pool.execute(DELETE, "totals")
        await set_up(stage)
        await stage.pool.execute("TRUNCATE totals")
        await set_up(stage)
        assert (await row_of(stage, "totals"))[:2] == (State.RUNNING, None)
        await stage.catch_up()
        assert await rebuilding.read(stage) == await rebuilding.oracle(stage)


@pytest.mark.parametrize("emptied", [True, False])
async def test_a_loop_that_begins_again_leaves_out_no_event_before_an_open_letter(
    database: str,
    emptied: bool,  # noqa: FBT001
) -> None:
    totals = Totals()
    totals.broken = {"bad"}
    async with open_stage(database, totals) as stage:
        await stage.place("a", 1)
        await stage.place("b", 2)
        await stage.place("a", 3)
        await stage.place("a", 4, order="bad")
        await stage.catch_up()
        await stage.pool.execute(DELETE, "totals")
        await set_up(stage)
        if emptied:
            await stage.pool.execute("TRUNCATE totals")
            await set_up(stage)
        else:
            # As restored from a backup that was made after the second event.
            await stage.pool.execute("UPDATE totals SET amount = 1, events = 1 WHERE stream = 'a'")
            async with session(database) as connection:
                await accept_position(connection, "totals", 2, "restored")
        await stage.catch_up()
        assert await rebuilding.read(stage) == [("a", 4, 2), ("b", 2, 1)]
        assert [letter["position"] for letter in await stage.letters()] == [4]


async def test_event_that_waited_for_its_next_try_leaves_no_dead_letter_behind_an_accepted_position(
    database: str,
) -> None:
    totals = Totals()
    totals.broken = {"bad"}
    async with open_stage(database, totals) as stage:
        await stage.place("a", 1)
        await stage.place("b", 2, order="bad")
        await stage.catch_up()
        await stage.pool.execute(
            "UPDATE sidecar.dead_letters SET category = 'retry', retry_at = 'infinity'"
        )
        totals.broken.clear()
        await stage.pool.execute(DELETE, "totals")
        await set_up(stage)
        async with session(database) as connection:
            await accept_position(connection, "totals", 1, "restored")
        await stage.catch_up()
        assert await rebuilding.read(stage) == [("a", 1, 1), ("b", 2, 1)]
        assert await stage.pool.fetchval("SELECT count(*) FROM sidecar.dead_letters") == 0


async def test_a_renamed_projection_does_not_run_until_the_old_name_is_forgotten(
    database: str,
) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1, 2)
        await stage.catch_up()
        before = await rebuilding.read(stage)
        renamed = Totals("totals")
        renamed.name = "totals_v2"  # type: ignore[misc] # as a release that renames it
        publisher = type(stage.publisher)(stage.publisher.types)
        publisher.add_projection(renamed)
        changed = Stage(database, stage.pool, publisher, stage.policy)
        assert await set_up(changed) == set()
        state, detail, _ = await row_of(changed, "totals_v2")
        assert state == State.FAILED
        assert "totals_v2 and totals both declare the table totals" in str(detail)
        async with session(database) as connection:
            assert await remove(connection, "totals")
            assert not await remove(connection, "totals")
        assert await set_up(changed) == {"totals_v2"}
        _, detail, position = await row_of(changed, "totals_v2")
        assert "rebuild totals_v2" in str(detail)
        assert position == 0
        assert await rebuilding.read(stage) == before


async def test_what_a_worker_runs_is_not_forgotten(database: str) -> None:
    async with open_stage(database, Totals()) as stage, working(stage) as worker:

        async def is_running() -> bool:
            return bool(worker.runners)

        await eventually(is_running)
        async with session(database) as connection:
            with pytest.raises(ProjectionError, match="A worker runs totals"):
                await remove(connection, "totals")
