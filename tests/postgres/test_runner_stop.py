"""A loop that waits to try again ends at once when it is told to."""

import asyncio
from functools import partial
from typing import Final

import pytest

from sidecar.projections import worker as projections_worker
from sidecar.projections.observer import LoopTask
from sidecar.projections.runner import Runner
from sidecar.projections.worker import Worker
from tests.postgres.eventually import eventually
from tests.postgres.shop import BrokenOrderError, Journal, Shaky
from tests.postgres.stage import Stage, open_stage

PROMPT_SECONDS: Final = 5.0
MANY: Final = 1000


async def test_stop_ends_the_wait_after_an_outage(database: str) -> None:
    async with open_stage(database, Shaky("40001", failures=MANY)) as stage:
        await stage.place("order-1", 3)
        await stage.advance()
        runner = stage.make_runner(stage.partitions[0])
        # So many that the next wait is of 15 s at least.
        runner._copy.failures._outages[LoopTask.EVENTS] = MANY
        stage.start_runner(runner)

        async def has_failed() -> bool:
            return bool(runner.tally.failures)

        await eventually(has_failed)
        await asyncio.wait_for(stage.stop(), PROMPT_SECONDS)


async def test_stop_ends_the_wait_after_a_crash(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(projections_worker, "delay_seconds", lambda *_: 60.0)
    async with open_stage(database, Journal()) as stage:
        worker = make_crashing(stage)
        working = asyncio.create_task(worker.run())

        async def has_crashed() -> bool:
            return "sidecar.runner.crashed" in [getattr(r, "event", "") for r in caplog.records]

        await eventually(has_crashed)
        worker.stop()
        await asyncio.wait_for(working, PROMPT_SECONDS)


def make_crashing(stage: Stage) -> Worker:
    class Crashing(Runner):
        async def _turn(self) -> None:
            raise BrokenOrderError

    worker = stage.make_worker()
    worker._make_runner = partial(stage.make_runner, runner_type=Crashing)
    return worker
