"""`EventStore.wait_until`: what was written is in the read model when it returns."""

import asyncio

import pytest

from sidecar.errors import ProjectionError, ReadModelLateError
from sidecar.postgres.checkpoint import set_state
from sidecar.projections.ports import State
from sidecar.projections.retry import RetryPolicy
from tests.postgres import rebuilding
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import Placed
from tests.postgres.stage import open_stage, session


@pytest.mark.parametrize("partitions", [1, 4])
async def test_what_was_appended_is_there_to_be_read(database: str, partitions: int) -> None:
    async with (
        open_stage(database, Totals(partitions=partitions)) as stage,
        rebuilding.working(stage),
    ):
        for number in range(1, 6):
            appended = await stage.store.append(f"s{number}", [Placed("o", number)])
            await stage.store.wait_until(appended.position, "totals", timeout_seconds=20)
            rows = {stream: amount for stream, amount, _ in await rebuilding.read(stage)}
            assert rows[f"s{number}"] == number


async def test_one_that_does_not_come_in_time_is_said_with_its_place(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1, 2)
        with pytest.raises(ReadModelLateError, match="at position 0 and has not come to 2 within"):
            await stage.store.wait_until(2, "totals", timeout_seconds=0.1)


async def test_one_that_will_not_come_is_an_error_at_once(database: str) -> None:
    totals = Totals()
    totals.broken = {"bad"}
    policy = RetryPolicy(max_attempts=1)
    async with open_stage(database, totals, policy=policy) as stage:
        with pytest.raises(ProjectionError, match="no projection 'nobody'"):
            await stage.store.wait_until(1, "nobody")
        await stage.place("a", 1000, order="bad")
        await stage.place("b", 1)
        await stage.catch_up()
        with pytest.raises(ProjectionError, match="Stream a of totals is parked"):
            await stage.store.wait_until(1, "totals", stream="a")
        await stage.store.wait_until(2, "totals", stream="b")
        async with session(stage.dsn) as connection:
            await set_state(connection, "totals", State.PAUSED)
        await stage.place("b", 1)
        with pytest.raises(ProjectionError, match="totals is paused"):
            await stage.store.wait_until(3, "totals")


async def test_a_wait_is_cancelled(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await stage.store.wait_until(1, "totals")
