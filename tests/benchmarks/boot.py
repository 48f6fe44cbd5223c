"""`boot-*`: how soon the whole thing is ready, and how much memory the probe process keeps."""

import asyncio
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from aiohttp import ClientSession

from tests.benchmarks.measure import (
    ROUNDS,
    Pair,
    Result,
    no_limit,
    ours_at_most,
    require_equal,
)
from tests.benchmarks.place import Place
from tests.benchmarks.process import Started, serve

TARGET: Final = "tests.benchmarks.shop:one"
SETTLED_SECONDS: Final = 60.0
NEEDED: Final = ("configuration", "migrations", "postgres")


async def run(place: Place) -> list[Result]:
    """Measure against a PostgreSQL that runs already and has the schema."""
    dsn = await place.create_database("boot")
    boots = [await _boot(place, dsn) for _ in range(ROUNDS)]
    ready_seconds, working_seconds = zip(*boots, strict=True)
    memory_mb = await _settle(place, dsn)
    return [
        Result("boot-ready", "s", Pair(median(ready_seconds)), ours_at_most(1, "s")),
        Result("boot-working", "s", Pair(median(working_seconds)), no_limit()),
        Result("boot-memory", "MB", Pair(memory_mb), ours_at_most(100, "MB")),
    ]


async def _boot(place: Place, dsn: str) -> tuple[float, float]:
    """Return the time until it is ready, and until its worker holds its projections too."""
    began = time.perf_counter()
    async with serve(place, dsn, TARGET) as server:
        await server.until("/ready")
        ready_seconds = time.perf_counter() - began
        await _require_ready(server)
        await server.until("/ready?check=workers")
        await server.until("/ready?group=projections")
        return ready_seconds, time.perf_counter() - began


async def _require_ready(server: Started) -> None:
    """Make sure that the yes was not for want of answers.

    Raises:
        WrongWorkError: What traffic depends on had not passed, or boot was not over.
    """
    async with ClientSession() as http:
        async with http.get(f"{server.url}/ready") as response:
            document: dict[str, Any] = await response.json(content_type=None)
        async with http.get(f"{server.url}/startup") as response:
            require_equal(response.status, 200, "status of /startup")
    outcomes = {
        key.partition(":")[0]: each["outcome"] for key, [each] in document["checks"].items()
    }
    require_equal([outcomes[name] for name in NEEDED], ["pass"] * len(NEEDED), "checks")


async def _settle(place: Place, dsn: str) -> float:
    """Return the resident memory of a probe process that has run for a minute."""
    async with serve(place, dsn, TARGET) as server:
        await server.until("/ready")
        await asyncio.sleep(SETTLED_SECONDS)
        return await asyncio.to_thread(_resident_mb, server.child.pid)


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
