"""Faults of the link between one sidecar and the server. Each returns what it did."""

import asyncio
import random
from typing import Final

from tests.incidents.chaos.crew import Crew

MAX_FROZEN_SECONDS: Final = 5.0
MAX_SLOW_SECONDS: Final = 3.0
MAX_DELAY_SECONDS: Final = 0.1


async def cut_network(crew: Crew, _chance: random.Random) -> str:
    cuts = crew.network.cuts
    crew.network.cut()
    return f"{crew.network.cuts - cuts} connections"


async def freeze_network(crew: Crew, chance: random.Random) -> str:
    """Let nothing pass, and tell nobody."""
    seconds = chance.uniform(0.5, MAX_FROZEN_SECONDS)
    async with crew.network_lock:
        crew.network.freeze()
        await asyncio.sleep(seconds)
        crew.network.thaw()
    return f"for {seconds:.1f} s"


async def slow_network(crew: Crew, chance: random.Random) -> str:
    delay_seconds = chance.uniform(0, MAX_DELAY_SECONDS)
    async with crew.network_lock:
        crew.network.delay_seconds = delay_seconds
        await asyncio.sleep(chance.uniform(0.5, MAX_SLOW_SECONDS))
        crew.network.delay_seconds = 0.0
    return f"by {delay_seconds * 1000:.0f} ms"
