"""What the application calls in `publish` is in the list of projections, while it runs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar import DeadLetterSink, EventPublisher, MeteredPool
from sidecar.events.types import EventTypes
from sidecar.wiring.application_agent import agent
from tests.incidents.program import Ended, finish


class Bills:
    name = "bills"

    async def handle(self, _event: object) -> None:
        raise ValueError("no rate")


async def list_projections(folder: Path, dsn: str, *words: str) -> Ended:
    return await asyncio.to_thread(
        finish, folder, "projections", "list", *words, ENVIRONMENT="development", DATABASE_URL=dsn
    )


async def test_a_projection_that_fails_in_publish_is_listed_with_its_failure(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with MeteredPool(database, name="shop", min_size=1, max_size=2) as pool:
        publisher = EventPublisher(sink=DeadLetterSink(pool, EventTypes()))
        publisher.add_projection(Bills())
        async with agent(publisher=publisher, pool=pool):
            await publisher.publish({"order": 1})
            shown = await list_projections(tmp_path, database)
            listed = await list_projections(tmp_path, database, "--format", "json")
        gone = await list_projections(tmp_path, database)
    assert "bills" in shown.out
    assert "in_process" in shown.out
    assert "handled 0, failed once, last ValueError" in shown.out
    rows: list[dict[str, Any]] = json.loads(listed.out)
    [row] = rows
    assert (row["failed"], row["error_type"], row["dead_letters"]) == (1, "ValueError", 1)
    assert row["position"] is None
    assert (gone.code, gone.out) == (0, "No projection has run yet.\n")
