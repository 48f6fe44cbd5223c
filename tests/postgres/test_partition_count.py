"""Another number of partitions, declared while loops of the number before are alive."""

import asyncio
import logging
from typing import Final

import pytest

from sidecar.errors import ProjectionError
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.lease import LeaseTable
from sidecar.postgres.rebuild.rebuild import start_rebuild
from sidecar.projections.ports import State
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, open_stage, session

STREAMS: Final = 12
LEFT: Final = "sidecar.projection.left"


async def place_in_each(stage: Stage, amount: int) -> None:
    for number in range(STREAMS):
        await stage.place(f"order-{number}", amount)


async def set_journal(stage: Stage, state: State) -> None:
    async with stage.pool.acquire() as connection:
        await set_state(connection, "journal", state, "deploy")


async def until_alike(stage: Stage) -> None:
    """Wait until all rows stand at the safe head, as idle loops store it once a second."""
    head = await stage.advance()

    async def is_alike() -> bool:
        return await stage.checkpoint() == head

    await eventually(is_alike)


async def until_done(stage: Stage) -> None:
    """Wait until each loop did all that it could, or ended."""
    head = await stage.advance()

    async def is_done() -> bool:
        stage.check_loops()
        pairs = zip(stage.runners, stage.tasks, strict=True)
        return all(task.done() or runner._cursor.seen >= head for runner, task in pairs)

    await eventually(is_done)


@pytest.mark.parametrize(("before", "after"), [(4, 1), (1, 4)])
async def test_loops_of_another_number_neither_lose_events_nor_apply_them_twice(
    database: str, before: int, after: int
) -> None:
    async with open_stage(database, Journal(partitions=before)) as old:
        await place_in_each(old, 1)
        old.start()
        await old.settle()
        await until_alike(old)
        async with open_stage(database, Journal(partitions=after)) as new:
            await place_in_each(new, 2)
            await until_done(old)
            await new.catch_up()
            lines = await new.lines()
            assert sorted(line.position for line in lines) == list(range(1, 2 * STREAMS + 1))
            assert all(task.done() for task in old.tasks)


async def test_batch_under_way_ends_before_the_number_changes(database: str) -> None:
    async with open_stage(database, Journal()) as old:
        (partition,) = old.partitions
        async with old.projection_store.begin(partition, 0, eager=True, repeatable=True) as work:
            new = open_stage(database, Journal(partitions=4))
            opening = asyncio.create_task(new.__aenter__())

            async def waits() -> bool:
                query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                return bool(await old.pool.fetchval(query))

            await eventually(waits)
            await work.move(7)
        stage = await opening
        assert await stage.checkpoint() == 7
        await new.__aexit__(None, None, None)


async def test_paused_projection_stays_paused_in_another_number(database: str) -> None:
    async with open_stage(database, Journal(partitions=4)) as old:
        await set_journal(old, State.PAUSED)
        async with open_stage(database, Journal()) as new:
            [row] = await new.pool.fetch("SELECT * FROM sidecar.checkpoints")
            assert (row["partitions"], row["state"], row["detail"]) == (1, "paused", "deploy")


async def test_worker_of_the_number_before_leaves_the_projection_and_says_so_once(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_stage(database, Journal(), Journal("ledger")) as old:
        worker = old.make_worker()
        working = asyncio.create_task(worker.run())

        async def runs(*names: str) -> bool:
            return sorted(map(str, worker.runners)) == sorted(names)

        await eventually(lambda: runs("journal", "ledger"))
        async with open_stage(database, Journal(partitions=4), Journal("ledger")) as new:
            await place_in_each(new, 1)
            await eventually(lambda: runs("ledger"))
            taken = len(told(caplog, "sidecar.lease.taken"))
            # The session of the leases ends: a new one begins with nothing, and takes the rest.
            async with session(database) as connection:
                table = LeaseTable(connection, lambda: old.partitions)
                await table.join()
                for _ in range(3):
                    await table.share()
                assert table.mine == frozenset()
            assert len(told(caplog, "sidecar.lease.taken")) == taken
        # The release before is deployed again.
        async with open_stage(database, Journal(), Journal("ledger")):
            await eventually(lambda: runs("journal", "ledger"))
        worker.stop()
        await working
    assert len(told(caplog, LEFT)) == 2
    assert "journal now runs in 4 partition(s)" in told(caplog, LEFT)[0]


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [r.getMessage() for r in caplog.records if getattr(r, "event", "") == event]


async def test_rebuild_of_another_number_is_left_alone(database: str) -> None:
    async with (
        open_stage(database, Totals()) as old,
        open_stage(database, Totals(partitions=4)),
        session(database) as connection,
    ):
        await start_rebuild(connection, "totals")
        table = LeaseTable(connection, lambda: old.partitions)
        await table.join()
        assert await table.share() == (frozenset(), frozenset())


async def test_number_cannot_change_while_a_rebuild_is_under_way(database: str) -> None:
    async with open_stage(database, Totals(partitions=2)) as stage:
        async with session(database) as connection:
            await start_rebuild(connection, "totals")
        with pytest.raises(ProjectionError, match="rebuild in 2 is under way"):
            async with open_stage(database, Totals()):
                pass
        query = "SELECT count(*) FROM sidecar.checkpoints WHERE partitions = 2"
        assert await stage.pool.fetchval(query) == 4
