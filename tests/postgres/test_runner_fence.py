"""Two loops that both believe to own a partition: each event takes effect once all the same."""

import asyncio
import logging

import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal, Placed
from tests.postgres.stage import open_stage


async def test_two_loops_on_one_partition_have_no_double_effect(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with open_stage(database, Journal()) as stage:
        (partition,) = stage.partitions
        for _ in range(2):
            stage.start_runner(stage.make_runner(partition))
        for number in range(150):
            await stage.place(f"order-{number % 9}", 1)
            await stage.advance()
        await stage.settle()
        applied = sum(runner.tally.applied for runner in stage.runners)
        await stage.stop()
        assert [line.position for line in await stage.lines()] == list(range(1, 151))
        assert applied == 150
        assert any("another owner moved the checkpoint" in r.message for r in caplog.records)


async def test_owner_that_lost_its_lease_in_mid_batch_cannot_commit_over_the_next(
    database: str,
) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    class Waiting(Journal):
        async def handle(
            self, event: Placed, connection: Connection, record: RecordedEvent
        ) -> None:
            if not entered.is_set():
                entered.set()
                await leave.wait()
            await super().handle(event, connection, record)

    async with open_stage(database, Waiting()) as stage:
        (partition,) = stage.partitions
        await stage.place("order-1", 1, 2, 3)
        await stage.advance()
        stage.start_runner(stage.make_runner(partition))
        await entered.wait()
        second = stage.make_runner(partition)
        stage.start_runner(second)

        async def is_queued() -> bool:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return bool(await stage.pool.fetchval(waiting))

        await eventually(is_queued)
        leave.set()
        await stage.settle()
        await stage.stop()
        assert [line.position for line in await stage.lines()] == [1, 2, 3]
        assert second.tally.applied == 0
