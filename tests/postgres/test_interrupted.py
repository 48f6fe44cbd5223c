"""Errors that end by themselves, and last: who waits for them is told why, until they are over."""

import time
from typing import Any

import asyncpg
import pytest

from sidecar.errors import StoreUnavailableError
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.process.heartbeat import Heartbeat, LoopReport
from sidecar.projections.interruption import TOLD_SECONDS, Interruption, explain
from sidecar.projections.observer import LoopTask
from sidecar.projections.runner import Runner
from sidecar.wiring.observed import find_interruptions
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal, Placed, Shaky
from tests.postgres.stage import open_stage

MANY = 1000


class OnFullDisk(Journal):
    """Has no room for one order."""

    is_full = False

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        if self.is_full and event.order == "order-1":
            raise asyncpg.DiskFullError
        await super().handle(event, connection, record)


async def until_interrupted(runner: Runner, work: LoopTask) -> Interruption:
    async def is_told() -> bool:
        return work in runner.tally.interruptions

    await eventually(is_told)
    return runner.tally.interruptions[work]


@pytest.mark.parametrize(
    ("sqlstate", "words"),
    [
        ("53100", "by DiskFullError (SQLSTATE 53100): the server's disk is full"),
        ("25006", "by ReadOnlySQLTransactionError (SQLSTATE 25006): the database takes no writes"),
        ("53300", "by TooManyConnectionsError (SQLSTATE 53300): the server has no connection left"),
        ("40P01", "by DeadlockDetectedError (SQLSTATE 40P01): it deadlocks"),
        ("55P03", "by LockNotAvailableError (SQLSTATE 55P03): a lock was not granted"),
    ],
)
async def test_an_error_that_lasts_is_told_with_its_cure_until_it_is_over(
    database: str, sqlstate: str, words: str
) -> None:
    journal = Shaky(sqlstate, failures=MANY)
    async with open_stage(database, journal) as stage:
        await stage.place("order-1", 1, 2, 3)
        await stage.advance()
        runner = stage.make_runner(stage.partitions[0])
        stage.start_runner(runner)
        first = await until_interrupted(runner, LoopTask.EVENTS)
        assert words in first.describe()
        failures = journal.failures

        async def has_failed_again() -> bool:
            return journal.failures < failures - 1

        await eventually(has_failed_again)
        assert runner.tally.interruptions[LoopTask.EVENTS].since_at == first.since_at
        journal.failures = 0
        await stage.settle()
        assert runner.tally.interruptions == {}
        await stage.stop()


async def test_what_ends_the_loop_itself_is_told_as_well(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", 1)
        await stage.advance()
        runner = stage.make_runner(stage.partitions[0])

        async def time_out(*_: Any) -> None:
            raise asyncpg.QueryCanceledError

        monkeypatch.setattr(runner._pages, "take", time_out)
        with pytest.raises(asyncpg.QueryCanceledError):
            await runner.run()
        told = runner.tally.interruptions[LoopTask.EVENTS].describe()
        assert "`statement_timeout` of role and database" in told
        # A loop that takes its place has not met it yet.
        assert stage.make_runner(stage.partitions[0], runner.tally).tally.interruptions == {}


async def test_a_retry_that_is_interrupted_is_told_while_other_events_go_on(
    database: str,
) -> None:
    journal = OnFullDisk()
    journal.broken = {"order-1"}
    async with open_stage(database, journal) as stage:
        await stage.place("order-1", 1)
        await stage.catch_up()
        journal.broken, journal.is_full = set(), True
        await stage.ask_retry()
        stage.start()
        [runner] = stage.runners
        first = await until_interrupted(runner, LoopTask.DEAD_LETTERS)
        await stage.place("order-2", 1)
        await stage.settle()
        assert [line.stream for line in await stage.lines()] == ["order-2"]
        assert runner.tally.interruptions[LoopTask.DEAD_LETTERS].since_at == first.since_at
        journal.is_full = False
        await stage.until_retried()

        async def is_over() -> bool:
            return runner.tally.interruptions == {}

        await eventually(is_over)
        await stage.stop()


def test_what_is_over_within_a_moment_is_not_told_and_the_longest_of_several_is() -> None:
    now_at = time.time()
    young, old, older = (
        Interruption(now_at - ago, "DiskFullError", "") for ago in (0.1, TOLD_SECONDS, 60.0)
    )
    loops = [LoopReport("a", interruption=young), LoopReport("b", interruption=old)]
    beats = [
        Heartbeat(projections=(*loops, LoopReport("c"))),
        Heartbeat(projections=(LoopReport("b", 1, interruption=older),)),
    ]
    assert find_interruptions(beats, now_at) == {"b": older}


def test_what_interrupts_a_rebuild_is_told_as_that_and_after_what_readers_see() -> None:
    now_at = time.time()
    live, rebuild = (Interruption(now_at - ago, "DiskFullError", "") for ago in (10.0, 60.0))
    copy = LoopReport("a", copy="rebuild", interruption=rebuild)
    alone = find_interruptions([Heartbeat(projections=(copy,))], now_at)
    assert alone["a"].describe().startswith("its rebuild is interrupted since")
    both = (copy, LoopReport("a", interruption=live))
    assert find_interruptions([Heartbeat(projections=both)], now_at) == {"a": live}


def test_no_value_of_an_event_and_no_control_character_is_told() -> None:
    assert "secret" not in explain(asyncpg.DiskFullError("secret"))
    assert explain(ValueError("secret")) == ": the worker's log has the error"
    assert explain(StoreUnavailableError("No\nanswer.")) == ": No answer"
