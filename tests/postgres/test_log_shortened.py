"""A replica takes over that lacks the latest commits: what comes after them must not be lost."""

import asyncio
from contextlib import suppress

import pytest

from sidecar.errors import LogShortenedError, StoreUnavailableError
from sidecar.projections.projection import Partition
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, open_stage, session

LOSE_ALL_AFTER_FIVE = """
DELETE FROM journal WHERE position > 5;
UPDATE sidecar.checkpoints SET position = 5;
DELETE FROM sidecar.events WHERE position > 5;
ALTER TABLE sidecar.events ALTER COLUMN position RESTART WITH 6;
"""
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def become_replica(stage: Stage) -> None:
    """Make the database what a replica that lags by five events would be after it took over."""
    async with session(stage.dsn, "failover") as connection:
        await connection.execute(LOSE_ALL_AFTER_FIVE)
        await connection.fetch(END_SESSIONS)


async def positions(stage: Stage) -> list[int]:
    return [line.position for line in await stage.lines()]


async def test_events_that_take_lost_positions_are_applied(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        worker = stage.make_worker()
        working = asyncio.create_task(worker.run())
        await stage.place("order-1", *range(10))

        async def has_ten() -> bool:
            return len(await stage.lines()) == 10

        await eventually(has_ten)
        await become_replica(stage)

        async def is_placed() -> bool:
            # The pool's old sessions end one by one, each when it is used next.
            with suppress(StoreUnavailableError):
                await stage.place("order-2", 1, 2, 3)
                return True
            return False

        await eventually(is_placed)

        async def has_eight() -> bool:
            return len(await stage.lines()) == 8

        await eventually(has_eight)
        assert await positions(stage) == [1, 2, 3, 4, 5, 6, 7, 8]
        worker.stop()
        await working


async def test_empty_page_of_a_log_that_became_shorter_is_no_page(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", *range(5))
        with pytest.raises(LogShortenedError):
            await stage.projection_store.read_page(Partition("journal"), 5, 10)
        assert (await stage.projection_store.read_page(Partition("journal"), 5, 5)).records == []


async def test_newest_event_that_is_erased_stalls_nobody(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", *range(5))
        head = await stage.advance()
        async with stage.pool.acquire() as writer, writer.transaction():
            # A writer that drew its position before may still write it.
            await writer.execute("LOCK TABLE sidecar.events IN ROW EXCLUSIVE MODE")
            await stage.pool.execute("DELETE FROM sidecar.events WHERE position >= 4")
            with pytest.raises(LogShortenedError):
                await stage.projection_store.read_page(Partition("journal"), 3, head)
        stage.start()

        async def has_passed_over() -> bool:
            stage.check_loops()
            return await stage.checkpoint() == head

        await eventually(has_passed_over)
        await stage.stop()
        assert await positions(stage) == [1, 2, 3]
        await stage.place("order-2", 1)
        await stage.catch_up()
        assert await positions(stage) == [1, 2, 3, 6]
