"""The live copy serves until the swap, so it is judged by itself while a rebuild runs."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.samples.sample import Sample, take_sample
from sidecar.projections.projection_status import ProjectionStatus, Rebuild, Status
from sidecar.projections.worker import Worker
from sidecar.wiring.checks.read_model import judge_projection
from sidecar.wiring.headline import describe
from tests.observed import ready_state
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import (
    Totals,
    fill,
    make_worker,
    oracle,
    read,
    start,
    until_live,
    until_swapped,
    waiting_for_the_swap,
    working,
)
from tests.postgres.stage import Stage, open_stage, session

EVENTS = 3000


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with open_stage(database, Totals()) as stage:
        await fill(stage, EVENTS, streams=10)
        yield stage


async def look(stage: Stage) -> Sample:
    async with stage.pool.acquire() as connection:
        return await take_sample(connection, SafeHeadFollower())


async def status_of(stage: Stage) -> ProjectionStatus:
    [projection] = (await look(stage)).projections
    return projection


async def test_a_live_copy_that_is_well_stays_well_beside_a_rebuild(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        async with waiting_for_the_swap(stage, EVENTS):
            projection = await status_of(stage)
            assert (projection.status, projection.rebuild) == (Status.CAUGHT_UP, Rebuild.RUNNING)
            assert judge_projection("totals", projection, 0.0, 30.0).outcome == "pass"
            state = ready_state(await look(stage))
            assert describe(state) == "Ready. Projection totals is being rebuilt."
            assert [each.rebuild for each in state.projections] == ["running"]
        await until_swapped(stage)
        assert (await status_of(stage)).rebuild is Rebuild.NONE


async def test_a_live_copy_that_stalls_is_told_beside_a_rebuild(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        async with waiting_for_the_swap(stage, EVENTS):
            await stage.pool.execute(
                "UPDATE sidecar.checkpoints SET moved_at = moved_at - interval '1 hour'"
            )
            async with session(stage.dsn, "psql") as psql, psql.transaction():
                await psql.execute("SELECT FROM sidecar.checkpoints WHERE copy = 'live' FOR UPDATE")
                await stage.place("s1", 5)
                await stage.pool.execute(
                    "UPDATE sidecar.events SET recorded_at = recorded_at - interval '1 minute'"
                )
                projection = await status_of(stage)
                assert (projection.status, projection.rebuild) == (Status.STALLED, Rebuild.RUNNING)
                assert judge_projection("totals", projection, 0.0, 30.0).reason == "totals.stalled"
        await until_swapped(stage)
        await until_live(stage)
    assert await read(stage) == await oracle(stage)


async def test_a_live_copy_that_nobody_runs_is_told_beside_a_rebuild(stage: Stage) -> None:
    await start(stage)
    projection = await status_of(stage)
    assert (projection.status, projection.rebuild) == (Status.UNOWNED, Rebuild.RUNNING)


async def test_who_only_fills_the_new_copy_does_not_beat_for_the_live_one(stage: Stage) -> None:
    workers = make_worker(stage), make_worker(stage)
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    await until_live(stage)
    async with waiting_for_the_swap(stage, EVENTS):

        async def is_shared() -> bool:
            return all(len(worker.runners) == 1 for worker in workers)

        await eventually(is_shared)
        live, rebuild = sorted(workers, key=runs_a_rebuild)
        assert (runs_a_rebuild(live), runs_a_rebuild(rebuild)) == (False, True)

        async def has_beaten() -> bool:
            return live.numbers()["totals"].heartbeat_at is not None

        await eventually(has_beaten)
        told = rebuild.numbers()["totals"]
        assert (told.heartbeat_at, told.progress_at) == (None, None)
    for worker in workers:
        worker.stop()
    await asyncio.gather(*tasks)


def runs_a_rebuild(worker: Worker) -> bool:
    return any(partition.copy == "rebuild" for partition in worker.runners)
