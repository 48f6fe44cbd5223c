"""An append whose session ends before the answer: nobody may take it for one that failed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.errors import ConcurrencyError, StoreUnavailableError
from sidecar.events.record import ANY, NO_STREAM
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from tests.postgres import shop
from tests.postgres.cluster import Cluster
from tests.postgres.eventually import eventually
from tests.postgres.shop import Placed
from tests.postgres.stage import fetchval, session
from tests.proxy import Proxy, proxying

IN_DOUBT = r"stream 'order-1' were appended: they may be there or not\. Read the stream"
WAITERS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'"
)


@asynccontextmanager
async def locked_log(database: str) -> AsyncIterator[None]:
    """Let appends wait for the length of the block."""
    async with session(database) as connection, connection.transaction():
        await connection.execute("LOCK TABLE sidecar.events IN SHARE MODE")
        yield


async def until_waiting(database: str, name: str) -> int:
    """Return the backend of the pool's session that waits for the log."""

    async def waiter() -> object:
        return await fetchval(database, WAITERS, name)

    await eventually(waiter)
    return int(await fetchval(database, WAITERS, name))


@asynccontextmanager
async def distant_store(cluster: Cluster, database: str) -> AsyncIterator[tuple[EventStore, Proxy]]:
    """Lend a store behind a link that can be cut."""
    name = await fetchval(database, "SELECT current_database()")
    host, port = cluster.dsn(tcp=True).rpartition("@")[2].partition("/")[0].split(":")
    async with proxying(host, int(port)) as proxy:
        dsn = f"postgresql://postgres@{host}:{proxy.port}/{name}"
        async with MeteredPool(dsn, name="distant", min_size=1, max_size=1) as pool:
            yield EventStore(pool, shop.types), proxy


@pytest.mark.parametrize("expected_version", [ANY, NO_STREAM])
async def test_events_committed_before_the_link_was_cut_are_said_to_be_in_doubt(
    cluster: Cluster, database: str, expected_version: int | None
) -> None:
    async def is_committed() -> object:
        query = "SELECT count(*) FROM sidecar.events WHERE stream = 'order-1'"
        return await fetchval(database, query)

    async with distant_store(cluster, database) as (store, proxy):
        # So that the statement is prepared, and waits with all that it needs at the server.
        await store.append("order-2", [Placed("2", 5)])
        async with locked_log(database):
            appending = asyncio.create_task(
                store.append("order-1", [Placed("1", 5)], expected_version=expected_version)
            )
            await until_waiting(database, "distant")
            proxy.freeze()
        await eventually(is_committed)
        proxy.cut()
        with pytest.raises(StoreUnavailableError, match=IN_DOUBT):
            await appending
        proxy.thaw()
        assert len(await store.read_stream("order-1")) == 1
        with pytest.raises(ConcurrencyError):
            await store.append("order-1", [Placed("1", 5)], expected_version=NO_STREAM)


@pytest.mark.parametrize("amounts", [(5,), (5, 6)])
async def test_append_whose_session_is_ended_is_in_doubt(
    database: str, amounts: tuple[int, ...]
) -> None:
    async with MeteredPool(database, name="near", min_size=1, max_size=1) as pool:
        store = EventStore(pool, shop.types)
        async with locked_log(database):
            appending = asyncio.create_task(
                store.append("order-1", [Placed("1", amount) for amount in amounts])
            )
            pid = await until_waiting(database, "near")
            await fetchval(database, "SELECT pg_terminate_backend($1, 5000)", pid)
            with pytest.raises(StoreUnavailableError, match=IN_DOUBT):
                await appending
        assert await store.read_stream("order-1") == []


async def test_append_that_got_no_connection_is_not_in_doubt(database: str) -> None:
    small = MeteredPool(database, min_size=1, max_size=1, acquire_timeout_seconds=0.05)
    async with small as pool, pool.acquire():
        store = EventStore(pool, shop.types)
        with pytest.raises(StoreUnavailableError, match="1 of 1 in use") as caught:
            await store.append("order-1", [Placed("1", 5)])
    assert "may be there" not in str(caught.value)


async def test_transaction_whose_session_ends_may_have_been_committed(database: str) -> None:
    async with MeteredPool(database, min_size=1, max_size=1) as pool:
        with pytest.raises(StoreUnavailableError, match="may have been committed"):
            async with pool.acquire() as connection:
                await connection.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
