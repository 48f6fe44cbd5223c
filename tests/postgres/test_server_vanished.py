"""A server that vanishes without a word is given up, and the next one is found."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Final

import pytest

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.keepalive import VANISHED_SECONDS
from sidecar.postgres.lease import open_leases
from sidecar.postgres.log.safe_head_follower import open_safe_head
from sidecar.postgres.pools.pool import MeteredPool
from tests.postgres.cluster import Cluster
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal
from tests.postgres.stage import open_stage
from tests.proxy import Proxy, proxying

ANSWER_SECONDS: Final = 0.5


@pytest.fixture
async def proxy(cluster: Cluster) -> AsyncIterator[Proxy]:
    host, port = cluster.dsn(tcp=True).rpartition("@")[2].partition("/")[0].split(":")
    async with proxying(host, int(port)) as proxy:
        yield proxy


@pytest.fixture
def dsn(proxy: Proxy, database: str) -> str:
    name = database.partition("?")[0].rpartition("/")[2]
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"


async def test_head_is_followed_on_a_new_session(database: str, dsn: str, proxy: Proxy) -> None:
    async with open_stage(database, Journal()) as stage:
        worker = stage.make_worker(dsn, answer_seconds=ANSWER_SECONDS)
        working = asyncio.create_task(worker.run())

        async def is_applied() -> bool:
            return await stage.checkpoint() == len(await stage.store.read())

        await stage.place("order-1", 1)
        await eventually(is_applied)
        proxy.strand()
        await stage.place("order-1", 2)
        await eventually(is_applied)
        worker.stop()
        await working


async def test_leases_on_a_silent_session_are_lost(dsn: str, proxy: Proxy) -> None:
    with pytest.raises(StoreUnavailableError, match=r"'lease' had no answer within 0\.5 s"):
        await share_with_nobody(dsn, proxy)
    await share_with_nobody(dsn, None)


async def share_with_nobody(dsn: str, proxy: Proxy | None) -> None:
    async with open_leases(
        dsn,
        tuple,
        application_name="lease",
        answer_seconds=ANSWER_SECONDS,
    ) as leases:
        if proxy is not None:
            proxy.strand()
        await leases.share()


async def test_wait_for_writers_is_no_silence(dsn: str) -> None:
    async with open_safe_head(dsn, application_name="head", answer_seconds=ANSWER_SECONDS) as head:
        await head.advance()
        await head.rest(2 * ANSWER_SECONDS)
        assert await head.advance() == 0


async def test_kernel_ends_what_is_not_acknowledged(cluster: Cluster) -> None:
    async with (
        MeteredPool(cluster.dsn(tcp=True), min_size=1) as pool,
        pool.acquire() as connection,
    ):
        link = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert milliseconds == VANISHED_SECONDS * 1000
