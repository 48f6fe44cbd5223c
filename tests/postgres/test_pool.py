"""`MeteredPool` does what asyncpg's pool does, and its numbers stay true meanwhile."""

import asyncio
import inspect
import io
import logging
import ssl
import traceback
from collections.abc import AsyncIterator

import asyncpg
import pytest

from sidecar.errors import DatabaseUrlError, StoreUnavailableError
from sidecar.postgres.pools.instrumented_pool import InstrumentedPool, find_instrumented, is_pool
from sidecar.postgres.pools.leak import log_leaks
from sidecar.postgres.pools.pool import MeteredPool
from tests.postgres.eventually import eventually
from tests.postgres.stage import fetchval


class Durations:
    """Hears what a pool tells."""

    def __init__(self) -> None:
        self.waits: list[str] = []
        self.uses = 0

    def waited(self, seconds: float, outcome: str) -> None:
        assert seconds >= 0
        self.waits.append(outcome)

    def used(self, seconds: float) -> None:
        assert seconds >= 0
        self.uses += 1

    def created(self, seconds: float) -> None:
        assert seconds > 0


@pytest.fixture
async def pool(empty_database: str) -> AsyncIterator[MeteredPool]:
    async with MeteredPool(empty_database, name="shop", min_size=1, max_size=2) as pool:
        pool.observer = Durations()
        yield pool


def heard(pool: MeteredPool) -> Durations:
    assert isinstance(pool.observer, Durations)
    return pool.observer


def test_every_method_of_asyncpg_s_pool_is_offered() -> None:
    public = {name for name, _ in inspect.getmembers(asyncpg.Pool, inspect.isfunction)}
    offered = {name for name, _ in inspect.getmembers(MeteredPool, inspect.isfunction)}
    assert {name for name in public - offered if not name.startswith("_")} == set()
    assert {"__await__", "__aenter__", "__aexit__"} <= offered


async def test_pool_that_is_not_open_is_no_fault_of_the_server(empty_database: str) -> None:
    pool = MeteredPool(empty_database, name="shop", min_size=0, max_size=1)
    with pytest.raises(StoreUnavailableError, match=r"'shop' is not open yet: .*`async with`"):
        await pool.fetchval("SELECT 1")
    async with pool:
        assert await pool.fetchval("SELECT 1") == 1
    with pytest.raises(StoreUnavailableError, match="'shop' is closed: end what uses it"):
        await pool.fetchval("SELECT 1")


async def test_a_block_and_a_plain_await_count_alike(pool: MeteredPool) -> None:
    async with pool.acquire() as connection:
        assert (pool.used, pool.idle) == (1, 0)
        assert await connection.fetchval("SELECT 1") == 1
    assert (pool.used, pool.idle) == (0, 1)
    connection = await pool.acquire(timeout=1)
    assert pool.used == 1
    await pool.release(connection)
    await pool.release(connection)
    assert pool.used == 0
    assert heard(pool).waits == ["ok", "ok"]
    assert heard(pool).uses == 2


async def test_statements_on_the_pool_are_counted_as_loans(pool: MeteredPool) -> None:
    await pool.execute("CREATE TABLE words (word text)", timeout=5)
    await pool.executemany("INSERT INTO words VALUES ($1)", [("one",), ("two",)], timeout=5)
    rows = await pool.fetchmany("INSERT INTO words VALUES ($1) RETURNING word", [("three",)])
    assert [row["word"] for row in rows] == ["three"]
    assert len(await pool.fetch("SELECT * FROM words", timeout=5)) == 3
    row = await pool.fetchrow("SELECT 1 AS one, 2 AS two", timeout=5)
    assert row is not None
    assert row["two"] == 2
    assert await pool.fetchval("SELECT 1, 2", column=1) == 2
    assert len(heard(pool).waits) == heard(pool).uses == 6


async def test_rows_are_copied_in_and_out(pool: MeteredPool) -> None:
    await pool.execute("CREATE TABLE words (word text)")
    await pool.copy_records_to_table("words", records=[("one",)])
    await pool.copy_to_table("words", source=io.BytesIO(b"two\n"))
    table, query = io.BytesIO(), io.BytesIO()
    await pool.copy_from_table("words", output=table)
    await pool.copy_from_query("SELECT word FROM words WHERE word = $1", "two", output=query)
    assert (table.getvalue(), query.getvalue()) == (b"one\ntwo\n", b"two\n")


async def test_sizes_and_options_are_those_of_asyncpg(empty_database: str) -> None:
    prepared: list[object] = []

    async def init(connection: object) -> None:
        prepared.append(connection)

    pool = await MeteredPool(
        empty_database,
        name="shop",
        min_size=1,
        max_size=3,
        init=init,
        server_settings={"jit": "on"},
    )
    assert (pool.get_init_size(), pool.get_min_size(), pool.get_max_size()) == (1, 1, 3)
    assert (pool.get_size(), pool.get_idle_size(), len(prepared)) == (1, 1, 1)
    assert await pool.fetchval("SHOW jit") == "on"
    pool.set_connect_args(empty_database, server_settings={"jit": "off"})
    await pool.expire_connections()
    assert await pool.fetchval("SHOW jit") == "off"
    assert await pool.fetchval("SHOW application_name") == "shop"
    assert not pool.is_closing()
    pool.terminate()
    assert pool.is_closing()


async def test_a_caller_that_gives_up_is_counted_and_told_why(pool: MeteredPool) -> None:
    async with pool.acquire(), pool.acquire():
        with pytest.raises(StoreUnavailableError, match="2 of 2 in use, 1 waiting"):
            await pool.acquire(timeout=0.01)
    assert (pool.timeouts, pool.pending, pool.used) == (1, 0, 0)
    assert heard(pool).waits == ["ok", "ok", "timeout"]


async def test_the_oldest_waiter_ages_until_it_is_cancelled(pool: MeteredPool) -> None:
    async with pool.acquire(), pool.acquire():
        waiter = asyncio.create_task(pool.fetchval("SELECT 1"))

        async def is_waiting() -> bool:
            return pool.oldest_wait_seconds > 0.01

        await eventually(is_waiting)
        assert pool.pending == 1
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
    assert (pool.pending, pool.oldest_wait_seconds) == (0, 0.0)
    assert heard(pool).waits[-1] == "cancelled"


async def test_a_server_that_is_not_there_is_an_error_and_no_timeout() -> None:
    pool = MeteredPool("postgresql://127.0.0.1:9/shop", min_size=0, max_size=1)
    async with pool:
        pool.observer = Durations()
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            await pool.execute("SELECT 1")
    assert (heard(pool).waits, pool.timeouts) == (["error"], 0)


async def test_a_url_that_cannot_be_read_is_told_without_any_part_of_it(pool: MeteredPool) -> None:
    url = "postgresql://shop:c4nary/abc@127.0.0.1/db"
    with pytest.raises(DatabaseUrlError, match="percent-encode") as caught:
        await MeteredPool(url).open()
    assert "c4nary" not in "".join(traceback.format_exception(caught.value))
    pool.set_connect_args(url)
    await pool.expire_connections()
    with pytest.raises(DatabaseUrlError):
        await pool.fetchval("SELECT 1")


async def test_a_certificate_that_does_not_fit_is_no_fault_of_the_url() -> None:
    async def connect(*_args: object, **_options: object) -> None:
        raise ssl.SSLCertVerificationError("self-signed certificate")

    with pytest.raises(StoreUnavailableError, match=r"signed by nobody .*SSLCertVerificationError"):
        await MeteredPool("postgresql://127.0.0.1/db", connect=connect).open()


async def test_a_terminated_backend_ends_its_loan_and_is_counted_as_closed(
    pool: MeteredPool, empty_database: str
) -> None:
    connection = await pool.acquire()
    pid = connection.get_server_pid()
    await fetchval(empty_database, "SELECT pg_terminate_backend($1)", pid)

    async def is_told() -> bool:
        return pool.closed == 1

    await eventually(is_told)
    assert pool.used == 0
    assert heard(pool).uses == 1
    await pool.release(connection)
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_leak_is_told_once_with_the_task_that_holds_it(
    empty_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    pool = MeteredPool(empty_database, name="shop", min_size=0, max_size=1, leak_limit_seconds=0)
    async with pool:
        pool.keep_stacks()
        taken = asyncio.Event()

        async def forget() -> None:
            await pool.acquire()
            taken.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(forget(), name="forgetful")
        await taken.wait()
        assert pool.leaks == 1
        log_leaks(pool)
        log_leaks(pool)
        task.cancel()
        await asyncio.wait([task])
        pool.terminate()
    (record,) = caplog.records
    assert "task forgetful" in record.message
    assert "which is in forget (" in record.message
    assert "Taken at" in record.message
    assert record.message.endswith("await pool.acquire()")
    assert vars(record)["event"] == "sidecar.pool.leak"


async def test_a_task_that_ended_with_a_connection_is_named_too(
    empty_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = MeteredPool(empty_database, name="shop", min_size=0, max_size=1, leak_limit_seconds=0)
    async with pool:
        connection = await asyncio.create_task(_take(pool), name="careless")
        log_leaks(pool)
        await pool.release(connection)
        assert pool.leaks == 0
    (record,) = caplog.records
    assert "task careless" in record.message
    assert "has ended without giving it back" in record.message
    assert "Taken at" not in record.message


async def _take(pool: MeteredPool) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
    return await pool.acquire()


async def test_a_plain_pool_is_counted_where_it_stands_and_left_as_it_was(
    empty_database: str,
) -> None:
    async with asyncpg.create_pool(empty_database, min_size=1, max_size=2) as pool:
        signature = inspect.signature(pool.acquire)
        adopted = InstrumentedPool(pool, "theirs")
        assert is_pool(pool)
        assert find_instrumented(pool) is adopted
        assert inspect.signature(pool.acquire) == signature
        adopted.observer = durations = Durations()
        async with pool.acquire():
            assert (adopted.used, adopted.idle, adopted.max) == (1, 0, 2)
            async with pool.acquire():
                with pytest.raises(TimeoutError):
                    await pool.acquire(timeout=0.01)
        assert await pool.fetchval("SELECT 1") == 1
        connection = await pool.acquire()
        await pool.release(connection)
        assert (adopted.used, adopted.timeouts, adopted.pending) == (0, 1, 0)
        assert durations.waits == ["ok", "ok", "timeout", "ok", "ok"]
        adopted.undo()
        assert find_instrumented(pool) is None
        assert type(pool) is asyncpg.Pool
        assert await pool.fetchval("SELECT 1") == 1
        assert len(durations.waits) == 5


async def test_what_a_block_set_is_reset_unless_it_promised_to_set_nothing(database: str) -> None:
    async with MeteredPool(database, min_size=1, max_size=1) as pool:
        async with pool.acquire() as connection:
            await connection.execute("SET statement_timeout = '7s'")
        async with pool.acquire_untouched() as connection:
            assert await connection.fetchval("SHOW statement_timeout") == "0"
            await connection.execute("SET statement_timeout = '8s'")
        async with pool.acquire() as connection:
            assert await connection.fetchval("SHOW statement_timeout") == "8s"
        assert await pool.fetchval("SHOW statement_timeout") == "0"


async def test_a_block_that_failed_is_reset_whatever_it_promised(database: str) -> None:
    async with MeteredPool(database, min_size=1, max_size=1) as pool:
        with pytest.raises(ValueError, match="on the way"):  # noqa: PT012 - the block is the point
            async with pool.acquire_untouched() as connection:
                await connection.execute("SET statement_timeout = '8s'")
                raise ValueError("on the way")
        assert await pool.fetchval("SHOW statement_timeout") == "0"
