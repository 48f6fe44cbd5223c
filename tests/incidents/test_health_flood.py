import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
import pytest

from tests.incidents.health_prober import probing
from tests.incidents.patience import eventually
from tests.incidents.program import Program, serve
from tests.incidents.tool import find_tool

PROBES_PER_SECOND: Final = 10_000
IDLE_CONNECTIONS: Final = 5_000
SLOW_CLIENTS: Final = 100
GROWTH: Final = 1.10
_DONE: Final = re.compile(r"(\d+) requests in")


def resident_bytes(program: Program) -> int:
    return int(psutil.Process(program.process.pid).memory_info().rss)


async def flood(program: Program, path: str, seconds: float) -> str:
    """Ask as fast as answers come and return what wrk says of it."""
    words = ["--threads=1", "--connections=16", f"--duration={round(seconds)}s", "--latency"]
    child = await asyncio.create_subprocess_exec(
        find_tool("wrk"), *words, program.address + path, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    return output.decode()


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
        await flood(program, "/ready", 1.0)
        await program.get("/metrics")
        before_bytes = resident_bytes(program)
        async with (
            idlers(program),
            slow_clients(program),
            probing(program, "/health", "/metrics", per_second=10.0) as probers,
        ):
            told = await flood(program, "/ready", seconds)
            grown_bytes = resident_bytes(program)
        done = _DONE.search(told)
        assert done is not None, told
        print(f"{before_bytes / 2**20:.1f} MB before, {grown_bytes / 2**20:.1f} after", told)
        assert "Non-2xx" not in told
        assert "Socket errors" not in told
        assert grown_bytes < GROWTH * before_bytes
        # Pacing is wrk's and the machine's; what was asked was answered, to everybody.
        assert [set(prober.statuses) for prober in probers] == [{200}, {200}]
        assert program.lines("sidecar.check.loop_restarted") == []
        assert await program.is_ready()
