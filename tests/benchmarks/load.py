"""Loading an HTTP server: by wrk where it is installed, else by aiohttp's client."""

import asyncio
import re
import shutil
import time
from statistics import quantiles
from typing import Final, NamedTuple

from aiohttp import ClientSession

CONNECTIONS: Final = 8

_RATE: Final = re.compile(r"Requests/sec:\s+([\d.]+)")
_P99: Final = re.compile(r"^\s+99%\s+([\d.]+)(us|ms|s)\s*$", re.MULTILINE)
_REFUSED: Final = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_MS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class Load(NamedTuple):
    """What a server withstood; each connection sends its next request after the answer."""

    requests_per_second: float
    p99_ms: float
    refused: int = 0
    """Answers other than 2xx and 3xx."""


async def load(url: str, *, seconds: int) -> Load:
    """Send as many requests as the server answers for so long."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return await _load_by_client(url, seconds)
    child = await asyncio.create_subprocess_exec(
        wrk,
        "--threads=1",
        f"--connections={CONNECTIONS}",
        f"--duration={seconds}s",
        "--latency",
        url,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await child.communicate()
    return read_wrk(output.decode())


def read_wrk(text: str) -> Load:
    """Read what wrk prints.

    Raises:
        ValueError: That is no report of wrk's.
    """
    rate, p99, refused = _RATE.search(text), _P99.search(text), _REFUSED.search(text)
    if rate is None or p99 is None:
        raise ValueError(f"wrk printed no figures: {text}")
    return Load(float(rate[1]), float(p99[1]) * _MS[p99[2]], int(refused[1]) if refused else 0)


async def _load_by_client(url: str, seconds: int) -> Load:
    ends = time.perf_counter() + seconds
    times_ms: list[float] = []
    refused = 0

    async def ask(http: ClientSession) -> None:
        nonlocal refused
        while (began := time.perf_counter()) < ends:
            async with http.get(url) as response:
                await response.read()
                refused += not response.ok
            times_ms.append(1e3 * (time.perf_counter() - began))

    async with ClientSession() as http, asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(ask(http))
    return Load(len(times_ms) / seconds, quantiles(times_ms, n=100)[98], refused)
