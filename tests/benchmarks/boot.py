"""`boot-*`: how soon the whole thing is ready, and how much memory the probe process keeps."""

import asyncio
import time
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks.measure import ROUNDS, Pair, Result, ours_at_most
from tests.benchmarks.place import Place
from tests.benchmarks.process import serve

TARGET: Final = "tests.benchmarks.shop:one"
SETTLED_SECONDS: Final = 60.0


async def run(place: Place) -> list[Result]:
    """Measure against a PostgreSQL that runs already and has the schema."""
    dsn = await place.create_database("boot")
    seconds = [await _boot(place, dsn) for _ in range(ROUNDS)]
    memory_mb = await _settle(place, dsn)
    return [
        Result("boot-ready", "s", Pair(median(seconds)), ours_at_most(1, "s")),
        Result("boot-memory", "MB", Pair(memory_mb), ours_at_most(100, "MB")),
    ]


async def _boot(place: Place, dsn: str) -> float:
    began = time.perf_counter()
    async with serve(place, dsn, TARGET) as server:
        await server.until("/startup")
        await server.until("/ready")
        return time.perf_counter() - began


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
