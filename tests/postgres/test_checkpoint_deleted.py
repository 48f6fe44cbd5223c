"""A projection whose checkpoint is gone runs nowhere: its worker ends, to be started anew."""

import asyncio

import pytest

from sidecar.errors import CheckpointGoneError
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal
from tests.postgres.stage import open_stage


async def test_worker_ends_when_a_checkpoint_is_gone(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stage(database, Journal()) as stage:
        worker = stage.make_worker()
        working = asyncio.create_task(worker.run())

        async def is_running() -> bool:
            return bool(worker.runners)

        await eventually(is_running)
        await stage.pool.execute("DELETE FROM sidecar.checkpoints")
        with pytest.raises(ExceptionGroup) as ended:
            await asyncio.wait_for(working, 10.0)
        assert ended.group_contains(CheckpointGoneError, match="journal")
        assert "another release" not in caplog.text
