"""Workers share partitions by leases: fairly, and the rest takes over from whoever ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest

from sidecar.postgres.lease import LeaseTable, key_of
from sidecar.projections.projection import Partition
from sidecar.projections.worker import Worker
from tests.postgres.cluster import TEMPLATE, Cluster
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, open_stage, session

PARTITIONS: Final = tuple(Partition("journal", index, 12) for index in range(12))
TAKEOVER_SECONDS: Final = 5.0


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with open_stage(database, Journal(partitions=12), max_connections=30) as stage:
        yield stage


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await task


async def test_two_workers_share_and_one_takes_all_when_the_other_ends(stage: Stage) -> None:
    first, second = stage.make_worker(), stage.make_worker()
    working = [asyncio.create_task(worker.run()) for worker in (first, second)]

    async def is_shared() -> bool:
        return len(first.runners) == len(second.runners) == 6

    await eventually(is_shared)
    assert not set(first.runners) & set(second.runners)
    for number in range(30):
        await stage.place(f"order-{number}", 1)

    first.stop()
    await working[0]

    async def has_all() -> bool:
        return len(second.runners) == 12

    await eventually(has_all, TAKEOVER_SECONDS)
    for number in range(30):
        await stage.place(f"order-{number}", 2)

    async def is_applied() -> bool:
        return len(await stage.lines()) == 60

    await eventually(is_applied)
    second.stop()
    await working[1]
    assert len({line.position for line in await stage.lines()}) == 60


async def test_worker_whose_session_is_killed_loses_its_loops_and_comes_back(
    stage: Stage,
) -> None:
    first, second = stage.make_worker(), stage.make_worker()
    working = [asyncio.create_task(worker.run()) for worker in (first, second)]

    async def is_shared() -> bool:
        return len(first.runners) == len(second.runners) == 6

    await eventually(is_shared)
    before = set(first._tasks.values())
    await stage.pool.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'lease' AND datname = current_database()"
    )

    async def has_begun_anew() -> bool:
        assert not any(task.done() for task in working)
        return await is_shared() and not before & set(first._tasks.values())

    await eventually(has_begun_anew, 2 * TAKEOVER_SECONDS)
    first.stop()
    second.stop()
    await asyncio.gather(*working)


async def test_session_that_ends_has_given_back_its_leases(stage: Stage) -> None:
    async with session(stage.dsn) as other:
        async with session(stage.dsn) as mine:
            table = LeaseTable(mine, lambda: PARTITIONS)
            await table.join()
            assert await table.share() == (frozenset(PARTITIONS), frozenset())
            rest = LeaseTable(other, lambda: PARTITIONS)
            await rest.join()
            assert await rest.share() == (frozenset(), frozenset())

        async def takes_all() -> bool:
            await rest.share()
            return rest.mine == set(PARTITIONS)

        await eventually(takes_all, TAKEOVER_SECONDS)


async def test_leases_to_lose_are_held_until_they_are_released(stage: Stage) -> None:
    async with session(stage.dsn) as connection, session(stage.dsn) as other:
        table, rest = (
            LeaseTable(connection, lambda: PARTITIONS),
            LeaseTable(other, lambda: PARTITIONS),
        )
        await table.join()
        await table.share()
        await rest.join()
        gained, lost = await table.share()
        assert (len(gained), len(lost)) == (0, 6)
        assert (await rest.share())[0] == frozenset()
        for partition in lost:
            await table.release(partition)
        assert (await rest.share())[0] == lost


async def test_leases_of_another_database_do_not_count(cluster: Cluster, stage: Stage) -> None:
    async with (
        cluster.database(TEMPLATE) as another,
        open_stage(another, Journal(partitions=12)),
        session(stage.dsn) as connection,
        session(another) as other,
    ):
        table, elsewhere = (
            LeaseTable(connection, lambda: PARTITIONS),
            LeaseTable(other, lambda: PARTITIONS),
        )
        await elsewhere.join()
        await elsewhere.share()
        await table.join()
        assert (await table.share())[0] == frozenset(PARTITIONS)


async def test_workers_of_another_service_do_not_count(database: str) -> None:
    shop = [Journal(f"shop_{number}") for number in range(3)]
    async with (
        open_stage(database, *shop) as ours,
        open_stage(database, Journal("office")) as theirs,
        AsyncExitStack() as stack,
    ):
        workers = [theirs.make_worker() for _ in range(3)]
        for worker in workers:
            await stack.enter_async_context(running(worker))

        async def is_taken() -> bool:
            return sum(len(worker.runners) for worker in workers) == 1

        await eventually(is_taken)
        alone = ours.make_worker()
        await stack.enter_async_context(running(alone))

        async def has_all() -> bool:
            return len(alone.runners) == 3

        await eventually(has_all, TAKEOVER_SECONDS)
        assert await is_taken()


def test_key_fits_the_lock_table_for_large_and_small_hashes() -> None:
    keys = {key_of(Partition(f"projection-{number}")) for number in range(1000)}
    assert len(keys) == 1000
    assert all(0 <= key < 2**32 for key in keys)
    assert any(key >= 2**31 for key in keys)
