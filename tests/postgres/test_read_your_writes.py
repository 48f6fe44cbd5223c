"""`EventStore.wait_until`: what was written is in the read model when it returns."""

import asyncio
import math
from functools import partial
from typing import Any

import pytest

from sidecar.errors import ProjectionError, ReadModelLateError, StoreUnavailableError, UsageError
from sidecar.postgres.checkpoints.block import remove
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.connection import RawConnection
from sidecar.projections.ports import State
from sidecar.projections.retry import RetryPolicy
from tests.postgres import rebuilding
from tests.postgres.eventually import eventually
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


async def test_what_cannot_be_waited_for_is_refused_to_its_writer_alone(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1)
        good = asyncio.create_task(stage.store.wait_until(1, "totals"))
        unknown: Any = None
        for seconds in (math.nan, -1.0, unknown):
            with pytest.raises(UsageError, match="timeout_seconds is"):
                await stage.store.wait_until(1, "totals", timeout_seconds=seconds)
        for position, projection, stream in (
            (2**63, "totals", None),
            ("1", "totals", None),
            (True, "totals", None),
            (1, "tot\0als", None),
            (1, "totals", "\ud800"),
            (1, None, "a"),
            (1, "totals", b"a"),
        ):
            with pytest.raises(UsageError, match="has no"):
                await stage.store.wait_until(position, projection, stream=stream)  # type: ignore[arg-type]
        await stage.catch_up()
        await good


async def test_thousands_wait_on_two_connections_and_each_gets_its_own_answer(
    database: str,
) -> None:
    waiters = 3000
    async with open_stage(database, Totals(partitions=3), max_connections=2) as stage:
        await stage.place("a", *range(1, 11))
        async with session(database) as connection:
            before = await asked(connection)
        waiting = [
            asyncio.create_task(
                stage.store.wait_until(
                    number % 20 + 1, "totals", stream="a", timeout_seconds=20 + number % 7
                )
            )
            for number in range(waiters)
        ]
        gone = asyncio.create_task(stage.store.wait_until(1, "nobody"))
        late = asyncio.create_task(stage.store.wait_until(1, "totals", timeout_seconds=0.1))
        await asyncio.wait((gone, late))
        assert isinstance(gone.exception(), ProjectionError)
        assert isinstance(late.exception(), ReadModelLateError)
        for task in waiting[::3]:
            task.cancel()
        async with rebuilding.working(stage):
            await asyncio.wait([task for n, task in enumerate(waiting) if n % 20 < 10])
            await stage.place("a", *range(1, 11))
            done = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in done[::3])
        assert {each for n, each in enumerate(done) if n % 3} == {None}
        async with session(database) as connection:
            assert await asked(connection) - before < waiters
        asking = stage.store._waits._task
        assert asking is not None
        await asyncio.wait_for(asking, 5.0)


async def asked(connection: RawConnection) -> int:
    """Return how many transactions the database has ended so far."""
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    query = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    return int(await connection.fetchval(query))


async def test_an_event_that_waits_for_its_next_try_is_waited_for(database: str) -> None:
    totals = Totals()
    totals.broken = {"bad"}
    policy = RetryPolicy(max_attempts=10**6)
    async with open_stage(database, totals, policy=policy) as stage:
        await stage.place("a", 1, order="bad")
        await stage.place("b", 1)
        stage.start()
        await stage.advance()

        async def waits() -> bool:
            query = "SELECT count(*) FROM sidecar.dead_letters WHERE category = 'retry'"
            return bool(await stage.pool.fetchval(query)) and await stage.checkpoint("totals") == 2

        await eventually(waits)
        for stream in ("a", None):
            with pytest.raises(ReadModelLateError, match="still waits for its next try"):
                await stage.store.wait_until(1, "totals", stream=stream, timeout_seconds=0.1)
        await stage.store.wait_until(2, "totals", stream="b")
        totals.broken = set()
        await stage.ask_retry()
        await stage.store.wait_until(2, "totals")
        await stage.stop()


async def test_the_stream_of_the_event_is_known_by_its_position(database: str) -> None:
    totals = Totals()
    totals.broken = {"bad"}
    async with open_stage(database, totals, policy=RetryPolicy(max_attempts=1)) as stage:
        await stage.place("a", 1, order="bad")
        await stage.place("b", 1)
        await stage.catch_up()
        with pytest.raises(ProjectionError, match="Stream a of totals is parked"):
            await stage.store.wait_until(1, "totals")
        await stage.store.wait_until(2, "totals")


async def test_one_that_fails_or_is_removed_meanwhile_ends_the_wait(database: str) -> None:
    async with open_stage(database, Totals()) as stage, session(database) as connection:
        await stage.place("a", 1)
        for change, words in (
            (partial(set_state, connection, "totals", State.FAILED, "no rights"), "no rights"),
            (partial(remove, connection, "totals"), "no projection 'totals'"),
        ):
            await set_state(connection, "totals", State.RUNNING)
            task = asyncio.create_task(stage.store.wait_until(1, "totals"))
            await asyncio.sleep(0)
            await change()
            with pytest.raises(ProjectionError, match=words):
                await task


async def test_a_server_that_does_not_answer_is_waited_for_no_longer(database: str) -> None:
    async with open_stage(database, Totals()) as stage, session(database) as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE sidecar.checkpoints")
            with pytest.raises(ReadModelLateError, match=r"has not said within 0\.2 s"):
                await stage.store.wait_until(1, "totals", timeout_seconds=0.2)
            task = asyncio.create_task(stage.store.wait_until(0, "totals"))
        await task


async def test_each_of_many_hears_of_an_outage_by_an_error_of_its_own(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1)
        waiting = [asyncio.create_task(stage.store.wait_until(1, "totals")) for _ in range(3)]
        await asyncio.sleep(0)
        await stage.pool.close()
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(error, StoreUnavailableError) for error in errors), errors
        assert len({id(error) for error in errors}) == 3
