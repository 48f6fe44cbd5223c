"""Faults of processes: killed, paused, replaced. Each returns what it did to whom."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psutil

from tests.incidents.chaos.crew import HANG_SECONDS, Crew
from tests.incidents.chaos.seat import Seat

MAX_PAUSE_SECONDS: Final = HANG_SECONDS + 2.0
MAX_AWAY_SECONDS: Final = 1.5

_END_LEASE: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE usename = $1 AND application_name LIKE '% worker-% lease'
"""


async def kill_worker(crew: Crew, chance: random.Random) -> str:
    seat = chance.choice(crew.seats)
    workers = seat.workers()
    if not workers:
        return "none runs"
    worker = chance.choice(workers)
    worker.kill()
    return f"{seat.name} {worker.pid}"


async def kill_serve(crew: Crew, chance: random.Random) -> str:
    seat = chance.choice(crew.seats)
    async with seat.lock:
        await seat.kill()
        await asyncio.sleep(chance.uniform(0, MAX_AWAY_SECONDS))
        await seat.start()
    return seat.name


async def kill_application(crew: Crew, chance: random.Random) -> str:
    async with crew.application_lock:
        crew.kill_application()
        await asyncio.sleep(chance.uniform(0, MAX_AWAY_SECONDS))
        crew.start_application()
    return ""


async def pause_worker(crew: Crew, chance: random.Random) -> str:
    """Stop a worker, at times for so long that its supervisor gives it up, and let it go on."""
    seat, seconds = chance.choice(crew.seats), chance.uniform(0.2, MAX_PAUSE_SECONDS)
    async with seat.lock:
        with _stopped(seat, chance) as told:
            await asyncio.sleep(seconds)
    return f"{told} for {seconds:.1f} s"


async def pause_owner_past_its_lease(crew: Crew, chance: random.Random) -> str:
    """Stop a worker and give its leases to others; then it goes on, and believes in them still."""
    seat, seconds = chance.choice(crew.seats), chance.uniform(1.0, HANG_SECONDS - 1.0)
    async with seat.lock:
        with _stopped(seat, chance) as told:
            await crew.query(_END_LEASE, seat.name)
            await asyncio.sleep(seconds)
    return f"{told} for {seconds:.1f} s"


async def lose_collector(crew: Crew, chance: random.Random) -> str:
    seconds = chance.uniform(0.5, 3.0)
    async with crew.collector_lock:
        await crew.collector.stop()
        await asyncio.sleep(seconds)
        await crew.collector.start()
    return f"for {seconds:.1f} s"


@contextmanager
def _stopped(seat: Seat, chance: random.Random) -> Iterator[str]:
    """Keep a worker of the seat from running for the length of the block."""
    workers = seat.workers()
    if not workers:
        yield f"{seat.name}: none runs"
        return
    worker = chance.choice(workers)
    worker.suspend()
    try:
        yield f"{seat.name} {worker.pid}"
    finally:
        # Its supervisor may have killed it meanwhile.
        with suppress(psutil.NoSuchProcess):
            worker.resume()
