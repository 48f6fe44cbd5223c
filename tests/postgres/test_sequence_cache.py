"""A sequence that hands out blocks of positions, or passed ones, lets projections miss events."""

import asyncio

import pytest

from sidecar.errors import StoreUnavailableError
from sidecar.health.outcome import failed
from sidecar.postgres.migration import find_unsafe_sequence
from sidecar.postgres.samples.database_poller import DatabasePoller
from sidecar.telemetry import metric
from sidecar.testing import ask
from sidecar.wiring.checks.database import store_check
from sidecar.wiring.headline import describe
from sidecar.wiring.state_metrics import to_numbers
from tests.observed import ready_state
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal
from tests.postgres.stage import open_stage, session


async def test_a_sequence_without_cache_is_safe(database: str) -> None:
    async with session(database, "test") as connection:
        assert await find_unsafe_sequence(connection) == ""


async def test_a_sequence_with_a_cache_is_told_with_its_cure(database: str) -> None:
    async with session(database, "test") as connection:
        await connection.execute("ALTER TABLE sidecar.events ALTER COLUMN position SET CACHE 20")
        told = await find_unsafe_sequence(connection)
        assert "20 positions at a time" in told
        await connection.execute(told.rpartition(": ")[2])
        assert await find_unsafe_sequence(connection) == ""


async def test_a_sequence_that_was_set_back_is_told_with_its_cure(database: str) -> None:
    async with open_stage(database, Journal()) as stage, session(database, "test") as connection:
        await stage.place("order-1", 1, 2, 3)
        await stage.catch_up()
        assert await find_unsafe_sequence(connection) == ""
        await connection.execute("TRUNCATE sidecar.events RESTART IDENTITY")
        await stage.place("order-2", 1)
        told = await find_unsafe_sequence(connection)
        assert "set back to 1, but position 3 is passed" in told
        await connection.execute(told.rpartition(": ")[2])
        assert await find_unsafe_sequence(connection) == ""
        await stage.place("order-2", 2)
        await stage.catch_up()
        assert (await stage.lines())[-1].version == 2


async def test_a_sequence_that_was_set_back_fails_the_check_of_the_store(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    watch = DatabasePoller(database, application_name="watch", auto_migrate=False)
    check = store_check(watch)
    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", 1, 2, 3)
        await stage.catch_up()
        await stage.pool.execute("TRUNCATE sidecar.events RESTART IDENTITY")
        await stage.place("order-2", 1)
        watching = asyncio.create_task(watch.run())

        async def is_failed() -> bool:
            return await ask(check) == failed("event-store.unsafe-sequence")

        try:
            await eventually(is_failed)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
    assert any("no projection hears" in record.message for record in caplog.records)
    assert watch.sample is not None
    state = ready_state(watch.sample)
    assert to_numbers(state)[metric.STORE_UNSAFE]
    assert describe(state).endswith(f"Events may be missed: {watch.sample.unsafe}")


async def test_a_position_that_is_taken_is_refused_until_the_sequence_is_set_right(
    database: str,
) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", 1, 2, 3)
        await stage.pool.execute("SELECT setval('sidecar.events_position_seq', 1)")
        with pytest.raises(StoreUnavailableError, match="its sequence was set back"):
            await stage.place("order-2", 1)
        async with session(database, "test") as connection:
            told = await find_unsafe_sequence(connection)
            await connection.execute(told.rpartition(": ")[2])
        await stage.place("order-2", 1)
        await stage.catch_up()
        assert [line.version for line in await stage.lines()] == [1, 2, 3, 1]
