"""Parked streams that are taken up slowly, or in vain, do not hold up the healthy ones."""

import asyncio
from functools import partial
from typing import Final

import asyncpg
import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints import projection_transaction
from sidecar.projections import dead_letter_retry
from sidecar.projections.retry import RetryPolicy
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal, Placed
from tests.postgres.stage import Stage, open_stage

ONCE: Final = RetryPolicy(max_attempts=1)
QUEUED: Final = 5


class Slow(Journal):
    """Lets an event of a parked stream pass only when the test says so.

    Attributes:
        entered: How many such events were begun.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entered = 0
        self.passes = asyncio.Semaphore(0)

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        if record.stream != "healthy" and not self.broken:
            self.entered += 1
            await self.passes.acquire()
        await super().handle(event, connection, record)


async def park(stage: Stage, journal: Journal, streams: int, events: int) -> None:
    journal.broken.add("bad")
    for number in range(streams):
        await stage.place(f"parked-{number}", *range(events), order="bad")
    await stage.catch_up()
    assert len(await stage.letters()) == streams
    journal.broken.clear()
    await stage.ask_retry()


async def streams_of(stage: Stage) -> list[str]:
    return [line.stream for line in await stage.lines()]


@pytest.mark.parametrize(("streams", "events"), [(QUEUED, 1), (1, QUEUED)])
async def test_healthy_event_is_applied_between_slow_ones_of_parked_streams(
    database: str, monkeypatch: pytest.MonkeyPatch, streams: int, events: int
) -> None:
    monkeypatch.setattr(dead_letter_retry, "BATCH_SECONDS", 0.0)
    journal = Slow()
    async with open_stage(database, journal, policy=ONCE) as stage:
        await park(stage, journal, streams, events)
        stage.start()

        async def has_entered(count: int) -> bool:
            stage.check_loops()
            return journal.entered == count

        for count in range(1, QUEUED + 1):
            await eventually(partial(has_entered, count))
            assert (await streams_of(stage)).count("healthy") == count - 1
            await stage.place("healthy", count)
            await stage.advance()
            journal.passes.release()
        await stage.until_retried()
        await stage.settle()
        await stage.stop()
        lines = await stage.lines()
        assert len(lines) == len(set(lines)) == 2 * QUEUED
        parked = [line for line in lines if line.stream != "healthy"]
        assert parked == sorted(parked, key=lambda line: line.position)


async def test_retry_that_is_interrupted_each_time_holds_up_nothing_else(database: str) -> None:
    class Deadlocked(Journal):
        passes = False

        async def handle(
            self, event: Placed, connection: Connection, record: RecordedEvent
        ) -> None:
            await super().handle(event, connection, record)
            if record.stream == "parked-0" and not self.passes:
                raise asyncpg.DeadlockDetectedError

    journal = Deadlocked()
    async with open_stage(database, journal, policy=ONCE) as stage:
        journal.passes = True
        await park(stage, journal, 1, 2)
        journal.passes = False
        stage.start()
        [runner] = stage.runners

        async def was_interrupted(times: int) -> bool:
            stage.check_loops()
            return runner.tally.failures.get(("DeadlockDetectedError", "retry"), 0) >= times

        for times in range(1, 4):
            await eventually(partial(was_interrupted, times))
            await stage.place("healthy", times)
            await stage.settle()
        journal.passes = True
        await stage.until_retried()
        await stage.stop()
        assert sorted(await streams_of(stage)) == ["healthy"] * 3 + ["parked-0"] * 2


async def test_parked_stream_is_taken_up_in_the_midst_of_a_handlers_backlog(database: str) -> None:
    class Mailer:
        name = "mailer"
        is_broken = True

        def __init__(self) -> None:
            self.sent: list[str] = []

        async def handle(self, event: Placed) -> None:
            if event.order == "parked" and self.is_broken:
                raise ValueError
            self.sent.append(event.order)

    mailer = Mailer()
    async with open_stage(database, handlers=[mailer], policy=ONCE) as stage:
        await stage.place("parked", 1, 2, 3)
        await stage.catch_up()
        mailer.is_broken = False
        await stage.place("healthy", *range(10))
        await stage.ask_retry()
        await stage.catch_up()
        assert sorted(mailer.sent) == ["healthy"] * 10 + ["parked"] * 3
        assert mailer.sent[:6].count("parked") == 3


async def test_parked_stream_of_large_events_is_read_piece_by_piece(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection_transaction, "PAGE_BYTES", 100)
    journal = Journal()
    async with open_stage(database, journal, policy=ONCE) as stage:
        await park(stage, journal, 1, 20)
        [partition] = stage.partitions
        position = await stage.checkpoint()
        async with stage.projection_store.begin(
            partition, position, eager=True, repeatable=True
        ) as work:
            letter = await work.take_due_dead_letter()
            assert letter is not None
            read = await work.queued_events(letter.stream, letter.version, position, 20)
        # {"order":"bad","amount":0} has 26 bytes.
        assert [record.version for record in read] == [1, 2, 3, 4]
        stage.start()
        await stage.until_retried()
        await stage.stop()
        assert [line.version for line in await stage.lines()] == list(range(1, 21))
