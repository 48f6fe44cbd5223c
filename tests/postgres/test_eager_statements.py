"""Statements that cannot wait for others are learned: one or two batches are replayed, not each."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import msgspec
import pytest

from sidecar.projections.projection import Projection
from sidecar.projections.retry import RetryPolicy
from tests.postgres.shop import Placed
from tests.postgres.stage import open_stage

ONCE: Final = RetryPolicy(max_attempts=1)
BATCHES: Final = 6
EVENTS: Final = 20


class Rows(Projection):
    """Does for each event what a test hands it."""

    name = "r"
    handles = (Placed,)

    def __init__(self, handle: Callable[[Any, Placed], Awaitable[None]]) -> None:
        self._handle = handle

    async def setup(self, connection: Any) -> None:
        await connection.execute("CREATE TABLE IF NOT EXISTS r (k text, n int UNIQUE)")

    async def handle(self, event: Placed, connection: Any) -> None:
        await self._handle(connection, event)


async def reads_its_status(c: Any, e: Placed) -> None:
    await c.execute("INSERT INTO r (k) VALUES ($1)", e.order)
    assert (await c.execute("UPDATE r SET k = k WHERE k = 'hidden \x1b[31m'")).endswith("0")


async def reads_it_in_c(c: Any, e: Placed) -> None:
    await c.execute("INSERT INTO r (k) VALUES ($1)", e.order)
    assert re.match("UPDATE 0", await c.execute("UPDATE r SET k = k WHERE k = 'hidden \x1b[31m'"))


async def joins_what_it_did(c: Any, e: Placed) -> None:
    statuses = [await c.execute("INSERT INTO r (k) VALUES ($1)", e.order)]
    assert ",".join(statuses) == "INSERT 0 1"


async def writes_what_it_did(c: Any, e: Placed) -> None:
    status = await c.execute("INSERT INTO r (k) VALUES ($1)", e.order)
    assert msgspec.json.encode([status]) == b'["INSERT 0 1"]'


async def wraps_what_it_did(c: Any, e: Placed) -> None:
    status = await c.execute("INSERT INTO r (k) VALUES ($1)", e.order)
    try:
        json.JSONEncoder(default=msgspec.to_builtins).encode({"status": status})
    except Exception as error:
        raise ValueError("not written") from error


async def shows_what_it_did(c: Any, e: Placed) -> None:
    status = await c.execute("INSERT INTO r (k) VALUES ($1)", e.order)
    await c.execute("UPDATE r SET k = k || $2 WHERE k = $1", e.order, f" {[status]}")


async def catches_after_a_savepoint(c: Any, e: Placed) -> None:
    await c.execute("INSERT INTO r (k) VALUES ($1)", e.order)
    await c.execute("SAVEPOINT mine")
    try:
        await c.execute("INSERT INTO r (n) VALUES (1) /* 'hidden' */")
    except asyncpg.UniqueViolationError:
        await c.execute("ROLLBACK TO SAVEPOINT mine")


async def needs_it_once(c: Any, e: Placed) -> None:
    await c.execute("INSERT INTO r (k) VALUES ($1)", e.order)
    if e.amount == EVENTS:
        assert await c.execute("UPDATE r SET k = k WHERE k = 'hidden \x1b[31m'") == "UPDATE 0"


@pytest.mark.parametrize(
    ("handle", "replays"),
    [
        (reads_its_status, 1),
        (reads_it_in_c, 1),
        (needs_it_once, 1),
        (joins_what_it_did, 1),
        (writes_what_it_did, 1),
        (wraps_what_it_did, 1),
        (shows_what_it_did, 1),
        (catches_after_a_savepoint, 2),
    ],
)
async def test_statement_that_cannot_wait_is_sent_at_once_from_then_on_and_told_once(
    database: str,
    caplog: pytest.LogCaptureFixture,
    handle: Callable[[Any, Placed], Awaitable[None]],
    replays: int,
) -> None:
    async with open_stage(database, Rows(handle), policy=ONCE) as stage:
        stage.start()
        for _ in range(BATCHES):
            await stage.place("s", *range(1, EVENTS + 1))
            await stage.settle()
        # Without this, as many as there are batches.
        assert stage.runners[0]._context.tally.replays == replays
        assert await stage.letters() == []
        assert await stage.pool.fetchval("SELECT count(k) FROM r") == BATCHES * EVENTS
    told = [r for r in caplog.records if r.__dict__.get("event") == "sidecar.projection.eager"]
    assert len(told) == 1
    message = told[0].getMessage()
    assert "hidden" not in message
    assert "\x1b" not in message
    assert "UPDATE r SET k = k WHERE k = ?" in message or "INSERT INTO r" in message


async def test_other_statements_of_the_projection_stay_deferred(database: str) -> None:
    kinds: list[str] = []

    async def mixes(c: Any, e: Placed) -> None:
        first = await c.execute("INSERT INTO r (k) VALUES ($1)", e.order)
        kinds.append(type(first).__name__)
        assert await c.execute("UPDATE r SET k = k WHERE false") == "UPDATE 0"

    async with open_stage(database, Rows(mixes), policy=ONCE) as stage:
        stage.start()
        for _ in range(2):
            kinds.clear()
            await stage.place("s", *range(5))
            await stage.settle()
        assert set(kinds) == {"DeferredStatus"}


async def test_statements_made_anew_each_time_end_in_an_eager_projection(database: str) -> None:
    async def makes_each_anew(c: Any, e: Placed) -> None:
        text = f"INSERT INTO r (n) VALUES ({e.amount})"
        assert await c.execute(text) == "INSERT 0 1"

    async with open_stage(database, Rows(makes_each_anew), policy=ONCE) as stage:
        stage.start()
        for number in range(60):
            await stage.place("s", 2 * number, 2 * number + 1)
            if number % 3 == 0:
                await stage.settle()
        await stage.settle()
        assert await stage.letters() == []
        assert await stage.pool.fetchval("SELECT count(n) FROM r") == 120
        applier = stage.runners[0]._applier
        assert applier._eager.is_all
        assert not applier._eager._learned
