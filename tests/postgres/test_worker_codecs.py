"""A service's codecs in workers: handlers have them, and the sidecar's own statements do not."""

from typing import Any

import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.dead_letters.dead_letter import discard
from sidecar.projections.retry import RetryPolicy
from tests.postgres.codecs import (
    speak_json,
    speak_json_in_binary,
    speak_of_nothing_as_it_is,
    speak_otherwise,
)
from tests.postgres.rebuilding import Totals, read, start, until_live, until_swapped
from tests.postgres.shop import Placed
from tests.postgres.stage import open_stage, session
from tests.postgres.verifying import verify, working


class Plain(Totals):
    """Writes without parameters, so that no codec is in its way."""

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        if event.order in self.broken:
            raise ValueError(event.order)
        await connection.execute(
            f"INSERT INTO {self.name} AS t VALUES ('{record.stream}', {event.amount}, 1) "
            "ON CONFLICT (stream) DO UPDATE "
            "SET amount = t.amount + excluded.amount, events = t.events + 1"
        )


class Documents(Totals):
    """Keeps what it is given as a document, and reads it as one."""

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.name} (stream text PRIMARY KEY, held jsonb)"
        )

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        query = f"SELECT held FROM {self.name} WHERE stream = $1"
        held = await connection.fetchval(query, record.stream) or {"amounts": []}
        held["amounts"].append(event.amount)
        await connection.execute(
            f"INSERT INTO {self.name} VALUES ($1, $2) "
            "ON CONFLICT (stream) DO UPDATE SET held = excluded.held",
            record.stream,
            held,
        )


async def test_handlers_write_and_read_with_the_codecs_of_their_service(database: str) -> None:
    async with open_stage(database, Documents(), init=speak_json) as stage:
        await stage.place("a", 1, 2)
        await stage.place("b", 3)
        await stage.catch_up()
        rows = await stage.pool.fetch("SELECT stream, held FROM totals ORDER BY stream")
        assert [tuple(row) for row in rows] == [("a", {"amounts": [1, 2]}), ("b", {"amounts": [3]})]
        assert await stage.letters() == []


@pytest.mark.parametrize(
    "init", [speak_json, speak_otherwise, speak_json_in_binary, speak_of_nothing_as_it_is]
)
async def test_a_read_model_is_kept_retried_rebuilt_and_verified_whatever_the_codecs(
    database: str, init: Any
) -> None:
    projection = Plain()
    projection.broken = {"b", "c"}
    policy = RetryPolicy(max_attempts=1)
    async with (
        open_stage(database, projection, policy=policy) as plain,
        open_stage(database, projection, policy=policy, init=init) as own,
    ):
        for stream in "abc":
            await plain.place(stream, 1, 2)
        async with working(own):
            await until_live(plain)
            first, second = await plain.letters()
            async with session(database) as connection:
                await discard(connection, first["id"], "not wanted")
            projection.broken = set()
            await plain.ask_retry()
            await plain.until_retried()
            assert await read(plain) == [("a", 3, 2), ("b", 2, 1), ("c", 3, 2)]
            found = await verify(plain)
            assert (found.state, found.compared_rows) == ("equal", 3)
            await start(plain)
            await until_swapped(plain)
        assert await read(plain) == [("a", 3, 2), ("b", 2, 1), ("c", 3, 2)]
        assert second["stream"] == "c"
