"""Everybody who looks at a sidecar: scrapers, people, browsers left open."""

import asyncio
from typing import Final

from aiohttp import ClientSession

from tests.incidents.program import Program

SCRAPE_SECONDS: Final = 1.0
VISIT_SECONDS: Final = 5.0
VIEW_SECONDS: Final = 20.0


async def scrape(program: Program) -> None:
    """Read the metrics as Prometheus does, until cancelled."""
    while True:
        assert (await program.get("/metrics")).status == 200
        await asyncio.sleep(SCRAPE_SECONDS)


async def visit(program: Program) -> None:
    """Load the page and what stands behind it, until cancelled."""
    while True:
        for path in ("/", "/api/status", "/config-report"):
            assert (await program.get(path)).status == 200
        await asyncio.sleep(VISIT_SECONDS)


async def view(program: Program) -> None:
    """Leave the page open for a while, close it, open it again, until cancelled."""
    async with ClientSession(headers=program.bearer()) as http:
        while True:
            async with http.get(f"{program.address}/events") as answer:
                assert answer.status == 200
                try:
                    async with asyncio.timeout(VIEW_SECONDS):
                        async for _ in answer.content:
                            pass
                except TimeoutError:
                    continue
            raise AssertionError("the events ended")
