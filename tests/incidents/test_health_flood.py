import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
import pytest

from tests.benchmarks.load import load
from tests.incidents.health_prober import probing
from tests.incidents.patience import eventually
from tests.incidents.program import Program, serve

IDLE_CONNECTIONS: Final = 5_000
SLOW_CLIENTS: Final = 100
GROWTH: Final = 1.10

logger = logging.getLogger(__name__)


def resident_bytes(program: Program) -> int:
    return int(psutil.Process(program.process.pid).memory_info().rss)


@asynccontextmanager
async def idlers(program: Program) -> AsyncIterator[None]:
    """Open connections over which nothing is ever asked."""
    address = urlsplit(program.address)
    writers: list[asyncio.StreamWriter] = []
    try:
        for _ in range(IDLE_CONNECTIONS // 100):
            opened = [asyncio.open_connection(address.hostname, address.port) for _ in range(100)]
            writers += [writer for _, writer in await asyncio.gather(*opened)]
        yield
    finally:
        for writer in writers:
            writer.close()


async def trickle(program: Program) -> None:
    """Send a request's head byte by byte, and begin again whenever the server has enough."""
    address = urlsplit(program.address)
    while True:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            for byte in b"GET /health HTTP/1.1\r\nX-Slow: " + b"y" * 4000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.1)
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def slow_clients(program: Program) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(trickle(program)) for _ in range(SLOW_CLIENTS)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_memory_stays_flat_and_others_are_served_under_a_flood(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    seconds = request.config.getoption("--health-seconds")
    async with serve(tmp_path, database) as program:
        await eventually(program.is_ready)
        # Every kind of page and of client once, so that what stays is what they leave behind.
        await load(f"{program.address}/ready", seconds=1)
        await program.get("/metrics")
        before_bytes = resident_bytes(program)
        async with (
            idlers(program),
            slow_clients(program),
            probing(program, "/health", "/metrics", per_second=10.0) as probers,
        ):
            told = await load(f"{program.address}/ready", seconds=round(seconds))
            grown_bytes = resident_bytes(program)
        logger.info("From %d to %d bytes resident under %s", before_bytes, grown_bytes, told)
        assert told.refused == 0
        assert grown_bytes < GROWTH * before_bytes
        assert [set(prober.statuses) for prober in probers] == [{200}, {200}]
        assert program.lines("sidecar.check.loop_restarted") == []
        assert await program.is_ready()
