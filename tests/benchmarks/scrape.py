"""`scrape*`: `/metrics` of a large installation, and whether the probes feel it."""

import asyncio
import time
from statistics import median
from typing import Final

from aiohttp import ClientSession

from tests.benchmarks.crowd import EVENT_TYPES
from tests.benchmarks.load import load
from tests.benchmarks.measure import Pair, Result, alternate, ours_at_most, poll, ratio_at_most
from tests.benchmarks.place import Place, make_pool
from tests.benchmarks.process import Started, serve, started
from tests.benchmarks.shop import fill

PROJECTIONS: Final = 100
EVENTS: Final = 1000
SCRAPES: Final = 10
# Agents are read each second; scraping as often means that each scrape reads a new text.
INTERVAL_SECONDS: Final = 1.0
LOAD_SECONDS: Final = 3
LIMIT_SECONDS: Final = 30.0
HEAVY_ROUNDS: Final = 9


async def run(place: Place) -> list[Result]:
    """Measure with 100 projections, 500 event types and 20 pools."""
    dsn = await place.create_database("scrape")
    async with make_pool(dsn, 1) as pool:
        await fill(pool, EVENTS)
    async with (
        started(place, "tests.benchmarks.crowd", "{port}") as crowd,
        serve(
            place, dsn, "tests.benchmarks.shop:hundred", SIDECAR_APP_AGENT_URL=crowd.url
        ) as server,
        ClientSession() as http,
    ):
        await server.until("/ready")
        await poll(lambda: _is_complete(http, server), limit_seconds=LIMIT_SECONDS)
        scrape_ms = await _scrape_repeatedly(http, server)
        pair = await _compare_health(http, server)
    return [
        Result("scrape", "ms", Pair(scrape_ms), ours_at_most(25, "ms")),
        Result("scrape-health", "ms p99", pair, ratio_at_most(1.2), "not scraped; ours each 1 s"),
    ]


async def _compare_health(http: ClientSession, server: Started) -> Pair:
    async def alone() -> float:
        return (await load(f"{server.url}/health", seconds=LOAD_SECONDS)).p99_ms

    async def meanwhile() -> float:
        scraping = asyncio.create_task(_keep_scraping(http, server))
        p99_ms = await alone()
        scraping.cancel()
        await asyncio.wait((scraping,))
        return p99_ms

    return await alternate(meanwhile, alone, rounds=HEAVY_ROUNDS)


async def _is_complete(http: ClientSession, server: Started) -> bool:
    text = (await _scrape(http, server)).decode()
    projections = text.count("sidecar_projection_lag_events{")
    return projections >= PROJECTIONS and text.count('event_type="type-') >= EVENT_TYPES


async def _scrape_repeatedly(http: ClientSession, server: Started) -> float:
    times_ms = []
    for _ in range(SCRAPES):
        await asyncio.sleep(INTERVAL_SECONDS)
        began = time.perf_counter()
        await _scrape(http, server)
        times_ms.append(1e3 * (time.perf_counter() - began))
    return median(times_ms)


async def _keep_scraping(http: ClientSession, server: Started) -> None:
    while True:
        await _scrape(http, server)
        await asyncio.sleep(INTERVAL_SECONDS)


async def _scrape(http: ClientSession, server: Started) -> bytes:
    async with http.get(f"{server.url}/metrics") as response:
        return await response.read()
