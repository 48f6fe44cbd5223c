"""Limits that the server sets on sessions and transactions: ours live as long as they need to."""

import asyncio
import logging

import pytest

from sidecar.errors import StoreUnavailableError
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.connection import RawConnection, open_session
from sidecar.postgres.migration import load_migrations, migrate
from sidecar.postgres.query import sql
from sidecar.postgres.rebuild.rebuild import start_rebuild
from sidecar.projections.projection import Partition
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import Journal, Placed
from tests.postgres.stage import fetchval, open_stage, session
from tests.postgres.versions import TRANSACTION_TIMEOUT, has_transaction_timeout

LIMITS = (
    "statement_timeout",
    TRANSACTION_TIMEOUT,
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
)
PAST_LIMIT = "SELECT pg_sleep(0.6)"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def limit(connection: RawConnection, setting: str) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET {setting} = '300ms'")


@pytest.mark.parametrize("setting", LIMITS)
async def test_session_of_ours_outlives_each_limit(database: str, setting: str) -> None:
    async with session(database) as elsewhere:
        await limit(elsewhere, setting)
        async with open_session(database, application_name="ours") as ours:
            async with ours.transaction():
                await ours.execute(PAST_LIMIT)
                await elsewhere.execute(PAST_LIMIT)
                await ours.execute("SELECT 1")
            await elsewhere.execute(PAST_LIMIT)
            await ours.execute("SELECT 1")


async def test_migration_waits_for_another_past_the_limit(empty_database: str) -> None:
    async with session(empty_database) as first:
        await limit(first, "statement_timeout")
        async with session(empty_database) as second:
            async with first.transaction():
                await first.execute(sql("lock_migrations"))
                migrating = asyncio.create_task(migrate(second))
                await first.execute(PAST_LIMIT)
            assert len(await migrating) == len(load_migrations())


async def test_swap_waits_for_the_batch_under_way_past_the_limit(database: str) -> None:
    async with session(database) as elsewhere:
        await limit(elsewhere, "statement_timeout")
        async with open_stage(database, Totals()) as stage:
            async with stage.pool.acquire() as connection:
                await start_rebuild(connection, "totals")
                await connection.execute("UPDATE sidecar.previews SET report = '{}'")
            live = Partition("totals")
            async with stage.projection_store.begin(live, 0, eager=False, repeatable=True):
                swapping = asyncio.create_task(stage.projection_store.swap("totals"))

                async def waits() -> bool:
                    return bool(await fetchval(database, WAITING))

                await eventually(waits)
                await elsewhere.execute(PAST_LIMIT)
            assert await swapping


@has_transaction_timeout
async def test_session_that_is_ended_all_the_same_names_the_limit(database: str) -> None:
    async def end_it() -> None:
        async with open_session(database, application_name="ours") as ours, ours.transaction():
            await ours.execute("SET LOCAL transaction_timeout = '100ms'")
            await ours.execute(PAST_LIMIT)

    with pytest.raises(StoreUnavailableError, match="`transaction_timeout` ended it"):
        await end_it()


@has_transaction_timeout
async def test_interruption_in_the_log_names_the_limit(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Limited(Journal):
        is_limited = False

        async def handle(
            self, event: Placed, connection: Connection, record: RecordedEvent
        ) -> None:
            if not self.is_limited:
                self.is_limited = True
                await connection.execute("SET LOCAL transaction_timeout = '100ms'")
                await connection.execute(PAST_LIMIT)
            await super().handle(event, connection, record)

    caplog.set_level(logging.WARNING)
    async with open_stage(database, Limited()) as stage:
        await stage.place("order", 1)
        await stage.catch_up()
    [line] = [r.getMessage() for r in caplog.records if "interrupted" in r.getMessage()]
    assert "`transaction_timeout` ended it; nothing is lost" in line
