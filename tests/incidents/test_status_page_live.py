"""The status page of a program that runs says what is wrong, and says so by itself."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession

from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import Program, ready_service

END_SECONDS = 5.0


async def test_the_page_tells_of_a_parked_stream_and_how_to_cure_it(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    async with ready_service(tmp_path, database) as program:
        watching = asyncio.create_task(first_told(program, "parked since"))
        await ledger.pay("good", 5)
        await ledger.pay("bad", 1, memo="poison")
        verdict = await asyncio.wait_for(watching, 20.0)
        assert re.search(
            r"Ready\. Projection fragile .*1 stream parked since \d\d:\d\d, CannotBookError",
            verdict,
        )

        async def is_shown() -> bool:
            page = (await program.get("/")).text
            return "<code>sidecar dead-letters retry " in page and "account-bad" in page

        await eventually(is_shown)


async def test_the_page_draws_what_has_been(tmp_path: Path, database: str, ledger: Ledger) -> None:
    async with ready_service(tmp_path, database) as program, ledger.paying():

        async def is_drawn() -> bool:
            shown = {one["name"]: one for one in await projections(program)}
            totals = shown.get("totals", {})
            return bool(totals.get("events_per_second")) and len(shown) == 3

        await eventually(is_drawn)
        assert (await program.get("/")).text.count('<svg class="spark"') == 3


async def test_a_browser_that_is_left_open_does_not_hold_up_the_end(
    tmp_path: Path, database: str
) -> None:
    async with ready_service(tmp_path, database) as program:
        async with watching_events(program) as answer:
            assert await answer.content.readline()
            program.send(signal.SIGTERM)
            assert await program.wait(END_SECONDS) == 0
        assert "Traceback" not in program.output()


async def projections(program: Program) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = (await program.status())["projections"]
    return shown


@asynccontextmanager
async def watching_events(program: Program) -> AsyncIterator[ClientResponse]:
    async with (
        ClientSession(headers=program.bearer()) as http,
        http.get(f"{program.address}/events") as answer,
    ):
        yield answer


async def first_told(program: Program, words: str) -> str:
    """Follow the events until the verdict has the words, and return it."""
    async with watching_events(program) as answer:
        async for line in answer.content:
            parts = json.loads(line[6:]) if line.startswith(b"data: ") else {}
            if words in parts.get("verdict", ""):
                return str(parts["verdict"])
    raise AssertionError("the events ended")
