"""Whoever looks after a rebuild does not hold up the live copy while the rebuild works."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.postgres.rebuild.rebuild import start_rebuild, swap
from tests.postgres.rebuilding import Totals
from tests.postgres.stage import Stage, open_stage, session

NAME = "totals"
FAR_BEHIND_EVENTS = 5000
WAIT_SECONDS = 5.0


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    """A rebuild under way of a projection in two parts; the first part has caught up."""
    async with open_stage(database, Totals(NAME, partitions=2)) as stage:
        async with session(database) as connection:
            await start_rebuild(connection, NAME)
            await connection.execute(
                "UPDATE sidecar.checkpoints SET position = $1 WHERE copy = 'live' OR partition = 0",
                FAR_BEHIND_EVENTS,
            )
        yield stage


async def test_swap_does_not_wait_for_a_part_that_is_far_behind(
    stage: Stage, database: str
) -> None:
    async with filling_a_batch(database), session(database) as connection:
        async with asyncio.timeout(WAIT_SECONDS):
            assert await swap(connection, NAME) is False


async def test_asking_for_a_rebuild_again_does_not_wait_for_it(stage: Stage, database: str) -> None:
    async with filling_a_batch(database), session(database) as connection:
        async with asyncio.timeout(WAIT_SECONDS):
            await start_rebuild(connection, NAME)


@asynccontextmanager
async def filling_a_batch(database: str) -> AsyncIterator[None]:
    """Hold what the loop of the second part holds while it applies a batch."""
    async with session(database) as connection, connection.transaction():
        await connection.execute(
            "SELECT FROM sidecar.checkpoints WHERE copy = 'rebuild' AND partition = 1 FOR UPDATE"
        )
        yield
