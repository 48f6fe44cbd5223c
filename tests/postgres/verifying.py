"""A worker that verifies too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from sidecar.postgres.verify.verification import (
    Verification,
    list_verifications,
    request_verification,
)
from sidecar.postgres.verify.verification_store import VerificationStore
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.observer import RunnerTally
from sidecar.projections.projection import Partition
from sidecar.projections.runner import Runner
from sidecar.projections.verify_copy import VerifyCopy
from sidecar.projections.worker import Worker
from tests.postgres.eventually import eventually
from tests.postgres.stage import Stage


def make_worker(stage: Stage) -> Worker:
    """Make a worker as `Stage.make_worker` does, that rebuilds and verifies as well."""
    worker = stage.make_worker()
    worker._make_runner = partial(make_runner, stage, worker._head)
    return worker


def make_runner(stage: Stage, head: HeadSignal, partition: Partition, tally: RunnerTally) -> Runner:
    """Make a loop for a partition of whatever copy."""
    if partition.copy != "verify":
        return Runner(stage.make_context(partition, tally, head=head))
    store = VerificationStore(stage.pool, stage.subscriptions[partition.projection])
    whole = Partition(partition.projection, copy="verify")
    context = stage.make_context(whole, tally, store=store)
    return Runner(context, partial(VerifyCopy, store=store))


@asynccontextmanager
async def working(stage: Stage) -> AsyncIterator[Worker]:
    """Run a worker for the length of the block."""
    worker = make_worker(stage)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await task


async def start(stage: Stage, projection: str = "totals", *ignored: str) -> None:
    async with stage.pool.acquire() as connection:
        assert await request_verification(connection, projection, ignored=ignored)


async def find(stage: Stage, projection: str = "totals") -> Verification:
    async with stage.pool.acquire() as connection:
        (found,) = await list_verifications(connection, [projection])
    return found


async def until_ended(
    stage: Stage, projection: str = "totals", within_seconds: float = 60.0
) -> Verification:
    async def is_over() -> bool:
        return (await find(stage, projection)).state != "running"

    await eventually(is_over, within_seconds)
    return await find(stage, projection)


async def verify(stage: Stage, projection: str = "totals", *ignored: str) -> Verification:
    """Verify once and return what was found."""
    await start(stage, projection, *ignored)
    return await until_ended(stage, projection)
