"""A worker across outages of the server: nothing lost, nothing twice, no restart of its own."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress

import asyncpg
import pytest

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.migration import migrate
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.telemetry.logs import configure
from tests.postgres.cluster import Cluster
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal
from tests.postgres.stage import open_stage, session

OUTAGES = ("immediate", "fast", "immediate")


@pytest.mark.timeout(120)
async def test_worker_outlives_restarts_of_the_server(private_cluster: Cluster) -> None:
    async with session(private_cluster.dsn()) as connection:
        await migrate(connection)
    dsn = private_cluster.dsn(tcp=True)
    async with open_stage(dsn, Journal(partitions=2), max_connections=6) as stage:
        worker = stage.make_worker()
        working = asyncio.create_task(worker.run())

        async def is_applied() -> bool:
            assert not working.done()
            with suppress(StoreUnavailableError, OSError, asyncpg.PostgresConnectionError):
                return sorted(line.position for line in await stage.lines()) == positions
            return False

        positions: list[int] = []
        for mode in OUTAGES:
            for number in range(30):
                await stage.place(f"order-{number}", 1)
            positions = [record.position for record in await stage.store.read()]
            await asyncio.to_thread(private_cluster.stop, mode)
            await asyncio.to_thread(private_cluster.start)
            await eventually(is_applied, within_seconds=20)
        assert await stage.letters() == []
        worker.stop()
        await working


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, stream = logging.getLogger(), io.StringIO()
    level = root.level
    handler = configure(
        format="json", level="WARNING", service="shop", process="worker-1", stream=stream
    )
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=False)


async def test_a_pool_tells_an_outage_without_tracebacks(
    private_cluster: Cluster, log: io.StringIO
) -> None:
    async with MeteredPool(private_cluster.dsn(tcp=True), min_size=2) as pool:
        await asyncio.to_thread(private_cluster.stop, "immediate")
        with suppress(StoreUnavailableError, OSError, asyncpg.PostgresConnectionError):
            await pool.fetchval("SELECT 1")

        async def is_told() -> bool:
            return "connection floor" in log.getvalue()

        await eventually(is_told)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    told = [line for line in lines if line["logger"] == "asyncpg.pool"]
    assert told
    assert not [line for line in told if "exception" in line]


async def test_store_over_tcp_and_over_the_socket_is_the_same(cluster: Cluster) -> None:
    async with (
        session(cluster.dsn(tcp=True)) as over_tcp,
        session(cluster.dsn()) as over_socket,
    ):
        query = "SELECT pg_postmaster_start_time()"
        assert await over_tcp.fetchval(query) == await over_socket.fetchval(query)
