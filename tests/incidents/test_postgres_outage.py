import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.incidents.ledger import open_ledger
from tests.incidents.patience import eventually
from tests.incidents.program import TARGET, Program, ready_service, serve
from tests.postgres.cluster import Cluster

NOTICE_SECONDS = 5.0


async def watch_health(program: Program, seen: Counter[int]) -> None:
    while True:
        seen[(await program.get("/health")).status] += 1
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_an_outage_is_told_and_loses_nothing(
    tmp_path: Path, private_cluster: Cluster, mode: str
) -> None:
    name = await private_cluster.create_database()
    # The test server forgets what it acknowledged when it is cut off, to be fast; not here.
    await private_cluster.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
    dsn = private_cluster.dsn(name)
    health: Counter[int] = Counter()
    async with ready_service(tmp_path, dsn) as program, open_ledger(dsn, seed=1) as ledger:
        watching = asyncio.create_task(watch_health(program, health))
        async with ledger.paying():
            for _ in range(2):
                await interrupt(private_cluster, mode, program)
        await ledger.expect_equal()
        watching.cancel()
        assert await program.is_ready()
        assert (await program.worker())["restarts"] == 0
        assert ledger.outages > 0
        assert program.lines("sidecar.runner.crashed") == []
    assert set(health) == {200}
    assert health[200] > 100


async def test_workers_wait_for_a_server_that_is_not_there_yet(
    tmp_path: Path, private_cluster: Cluster
) -> None:
    dsn = private_cluster.dsn(await private_cluster.create_database())
    await asyncio.to_thread(private_cluster.stop, "fast")
    async with serve(tmp_path, dsn, TARGET) as program:
        waits = await program.line("sidecar.worker.waits")
        assert "PostgreSQL cannot be reached" in waits["message"]
        assert [(await program.get(path)).status for path in ("/health", "/ready")] == [200, 503]
        await asyncio.to_thread(private_cluster.start)
        await eventually(program.is_ready, NOTICE_SECONDS)
        async with open_ledger(dsn, seed=1) as ledger:
            await ledger.pay("late", 10)
            await ledger.expect_equal()
        assert (await program.worker())["restarts"] == 0


async def interrupt(cluster: Cluster, mode: str, program: Program) -> None:
    await asyncio.to_thread(cluster.stop, mode)
    await eventually(program.is_unready, NOTICE_SECONDS)
    await asyncio.to_thread(cluster.start)
    await eventually(program.is_ready, NOTICE_SECONDS)
