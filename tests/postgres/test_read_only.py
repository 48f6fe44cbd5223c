"""A database that takes no writes for a while: a demoted server, or one whose disk fills up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from sidecar.errors import StoreUnavailableError
from tests.postgres.eventually import eventually
from tests.postgres.setting_up import make_setups, set_up
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, open_stage, session

INSERT = (
    "INSERT INTO sidecar.events (stream, version, type, data) "
    """VALUES ('order-1', 1, 'Placed', '{"order": "order-1", "amount": 1}')"""
)


@asynccontextmanager
async def read_only(stage: Stage) -> AsyncIterator[None]:
    """Let every new session read only; those of the pool are replaced."""
    async with session(stage.dsn) as admin:
        name = await admin.fetchval("SELECT quote_ident(current_database())")
        await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await stage.pool.expire_connections()
        try:
            yield
        finally:
            await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


async def test_worker_waits_and_goes_on(database: str, caplog: pytest.LogCaptureFixture) -> None:
    async with open_stage(database, Journal()) as stage, session(database) as writer:
        # A gap, which the follower has to record before it may pass.
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute(INSERT)
        await transaction.rollback()
        await writer.execute(INSERT)
        worker = stage.make_worker()
        async with read_only(stage):
            working = asyncio.create_task(worker.run())
            (partition,) = stage.partitions

            async def is_running() -> bool:
                return partition in worker.runners

            await eventually(is_running)
            runner = stage.make_runner(partition)
            stage.head.advance(2)
            stage.start_runner(runner)

            async def is_told() -> bool:
                stage.check_loops()
                return bool(runner.tally.failures)

            await eventually(is_told)
            assert not working.done()

        async def is_applied() -> bool:
            return len(await stage.lines()) == 1

        await eventually(is_applied, 20.0)
        worker.stop()
        await asyncio.gather(working, stage.stop())
    assert "ReadOnlySQLTransactionError" in caplog.text
    assert "crashed" not in caplog.text


async def test_setup_is_repeated_later_and_fails_nobody(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        setups = make_setups(stage)
        async with read_only(stage), session(database) as connection:
            with pytest.raises(StoreUnavailableError, match="ReadOnlySQLTransactionError"):
                await setups.register(connection)
        assert await set_up(stage) == {"journal"}
        state = await stage.pool.fetchval("SELECT state FROM sidecar.checkpoints")
        assert state == "running"


async def test_sessions_that_began_read_only_are_replaced_by_themselves(database: str) -> None:
    async with session(database) as admin, open_stage(database, Journal()) as stage:
        name = await admin.fetchval("SELECT quote_ident(current_database())")
        await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await stage.pool.expire_connections()
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await stage.pool.execute(INSERT)
        await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")

        # The pool keeps its floor by itself: a session may have begun between refusal and cure.
        async def is_written() -> bool:
            with suppress(asyncpg.ReadOnlySQLTransactionError):
                await stage.pool.execute(INSERT)
                return True
            return False

        await eventually(is_written)


async def test_a_transaction_that_chose_to_read_only_replaces_no_session(database: str) -> None:
    async with open_stage(database, Journal(), max_connections=2) as stage:
        pids = {await stage.pool.fetchval("SELECT pg_backend_pid()") for _ in range(4)}
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await write_in_read_only_transaction(stage)
        assert {await stage.pool.fetchval("SELECT pg_backend_pid()") for _ in range(4)} <= pids


async def write_in_read_only_transaction(stage: Stage) -> None:
    async with stage.pool.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute(INSERT)
