"""What passes by itself is tried again until it passed, and never parked."""

import asyncio
from typing import Final

import asyncpg
import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.projections.retry import RetryPolicy
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal, Mailer, Placed, Shaky
from tests.postgres.stage import Stage, fetchval, open_stage, session
from tests.postgres.versions import TRANSACTION_TIMEOUT

ONCE: Final = RetryPolicy(max_attempts=1)


async def check_passed(stage: Stage) -> None:
    assert [line.position for line in await stage.lines()] == [1, 2, 3]
    assert await stage.letters() == []
    assert await stage.pool.fetchval("SELECT count(*) FROM sidecar.dead_letters") == 0


async def test_serialization_failure_and_deadlock_in_a_handler_are_tried_again(
    database: str,
) -> None:
    for sqlstate in ("40001", "40P01"):
        journal = Shaky(sqlstate, failures=2)
        async with open_stage(database, journal, policy=ONCE) as stage:
            if sqlstate == "40001":
                await stage.place("order-1", 1, 2, 3)
            else:
                await stage.pool.execute("TRUNCATE journal RESTART IDENTITY")
                await stage.pool.execute("UPDATE sidecar.checkpoints SET position = 0")
            await stage.catch_up()
            assert journal.failures == 0
            await check_passed(stage)


async def test_session_killed_in_the_middle_of_a_batch_repeats_it_whole(database: str) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    class Waiting(Journal):
        async def handle(
            self, event: Placed, connection: Connection, record: RecordedEvent
        ) -> None:
            await super().handle(event, connection, record)
            if event.amount == 3 and not entered.is_set():
                await connection.fetchval("SELECT 1")
                entered.set()
                await leave.wait()
                await connection.fetchval("SELECT 1")

    async with open_stage(database, Waiting(), policy=ONCE) as stage:
        await stage.place("order-1", 1, 2, 3)
        stage.start()
        await stage.advance()
        await entered.wait()
        await stage.pool.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE state = 'idle in transaction' AND datname = current_database()"
        )
        leave.set()
        await stage.settle()
        tally = stage.runners[0].tally
        await stage.stop()
        assert {action for _, action in tally.failures} == {"retry"}
        await check_passed(stage)


async def test_session_killed_while_a_retried_stream_is_applied_keeps_the_request(
    database: str,
) -> None:
    killed = asyncio.Event()

    class Killer(Journal):
        async def handle(
            self, event: Placed, connection: Connection, record: RecordedEvent
        ) -> None:
            await super().handle(event, connection, record)
            if not self.broken and not killed.is_set():
                killed.set()
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                await fetchval(database, "SELECT pg_terminate_backend($1, 5000)", pid)
                await connection.fetchval("SELECT 1")

    journal = Killer()
    journal.broken.add("bad")
    async with open_stage(database, journal, policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.catch_up()
        journal.broken.clear()
        await stage.retry()
        assert len(await stage.lines()) == 1
        assert await stage.letters() == []


async def test_deadlock_while_a_retried_stream_is_applied_keeps_the_request(
    database: str,
) -> None:
    journal = Shaky("40P01", failures=0)
    journal.broken.add("bad")
    async with open_stage(database, journal, policy=ONCE) as stage:
        await stage.place("bad", 3)
        await stage.catch_up()
        journal.broken.clear()
        journal.failures = 1
        await stage.retry()
        assert len(await stage.lines()) == 1
        assert await stage.letters() == []


async def test_handler_that_hangs_is_cut_off_and_parked_as_timed_out(database: str) -> None:
    class Hanging(Journal):
        timeout_seconds = 0.05

        async def handle(
            self, event: Placed, connection: Connection, record: RecordedEvent
        ) -> None:
            await super().handle(event, connection, record)
            if event.order == "slow":
                await connection.fetchval("SELECT pg_sleep(60)")

    async with open_stage(database, Hanging(), policy=ONCE) as stage:
        await stage.place("slow", 1)
        await stage.place("good", 1)
        await stage.catch_up()
        assert [line.stream for line in await stage.lines()] == ["good"]
        (letter,) = await stage.letters()
        assert (letter["category"], letter["error_type"]) == ("timeout", "TimeoutError")


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize("setting", ["idle_in_transaction_session_timeout", TRANSACTION_TIMEOUT])
async def test_handler_may_take_longer_than_the_server_lets_a_transaction_last(
    database: str, setting: str, *, is_plain: bool
) -> None:
    async with session(database) as elsewhere:
        name = await elsewhere.fetchval("SELECT current_database()")
        await elsewhere.execute(f"ALTER DATABASE {name} SET {setting} = '300ms'")

        class Patient(Journal):
            async def handle(
                self, event: Placed, connection: Connection, record: RecordedEvent
            ) -> None:
                await super().handle(event, connection, record)
                await elsewhere.execute("SELECT pg_sleep(0.8)")

        class Caller:
            name = "caller"

            def __init__(self) -> None:
                self.calls = 0

            async def handle(self, event: Placed) -> None:
                self.calls += event.amount
                await elsewhere.execute("SELECT pg_sleep(0.8)")

        subscriber = Caller() if is_plain else Patient()
        async with open_stage(database, subscriber, policy=ONCE) as stage:
            await stage.place("order-1", 1)
            stage.start()
            await stage.settle()
            [runner] = stage.runners
            await stage.stop()
            assert (subscriber.calls, runner.tally.failures) == (1, {})
            # In the projection's transaction alone.
            query = f"SELECT current_setting('{setting}')"
            assert await stage.pool.fetchval(query) == "300ms"


async def test_idle_loop_outlives_the_end_of_every_session(database: str) -> None:
    async with open_stage(database, Journal(), policy=ONCE) as stage:
        worker = stage.make_worker()
        working = asyncio.create_task(worker.run())
        await stage.place("order-1", 1)

        async def is_idle() -> bool:
            assert not working.done()
            return await stage.checkpoint() == len(await stage.store.read())

        await eventually(is_idle)
        for _ in range(2):
            await stage.pool.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await stage.place("order-1", 1)
            await eventually(is_idle)
        worker.stop()
        await working
        await check_passed(stage)


async def test_plain_handler_is_not_called_again_for_events_before_what_passes_by_itself(
    database: str,
) -> None:
    class Deadlocked(Mailer):
        async def handle(self, event: Placed) -> None:
            await super().handle(event)
            if self.heard == [1, 2]:
                raise asyncpg.DeadlockDetectedError

    mailer = Deadlocked()
    async with open_stage(database, mailer, policy=ONCE) as stage:
        await stage.place("order-1", 1, 2)
        await stage.catch_up()
        assert mailer.heard == [1, 2, 2]
