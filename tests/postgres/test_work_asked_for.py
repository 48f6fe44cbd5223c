"""A worker begins at once what is asked of it, however seldom it looks by itself."""

from collections.abc import AsyncIterator

import pytest

from sidecar.postgres.rebuild.rebuild import start_rebuild
from sidecar.projections import worker as loops
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.stage import Stage, open_stage
from tests.postgres.verifying import verify, working


@pytest.fixture
async def stage(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(loops, "SHARE_SECONDS", 1000.0)
    async with open_stage(database, Totals()) as stage:
        yield stage


async def rebuild(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        await start_rebuild(connection, "totals")

    async def is_over() -> bool:
        rebuilds = "SELECT count(*) FROM sidecar.checkpoints WHERE copy = 'rebuild'"
        return bool(await stage.pool.fetchval(rebuilds) == 0)

    await eventually(is_over)


async def test_verifications_and_rebuilds_begin_at_once_and_again(stage: Stage) -> None:
    for number in range(3):
        await stage.place(f"order-{number}", 1)
    async with working(stage):
        for _ in range(2):
            assert (await verify(stage)).state == "equal"
            await rebuild(stage)
