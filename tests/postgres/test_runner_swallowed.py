"""A handler that catches an error of its own statement, which leaves its transaction aborted."""

from contextlib import suppress
from typing import Final

import asyncpg

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.projections.retry import RetryPolicy
from tests.postgres.shop import Journal, Placed
from tests.postgres.stage import open_stage

ONCE: Final = RetryPolicy(max_attempts=1)


class Swallowing(Journal):
    """Goes on after an error that left nothing to go on with."""

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        await super().handle(event, connection, record)
        if event.order == "bad":
            with suppress(asyncpg.DivisionByZeroError):
                await connection.fetchval("SELECT 1 / 0")


async def test_caught_error_parks_its_stream_and_the_others_go_on(database: str) -> None:
    async with open_stage(database, Swallowing(), policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.place("good", 1)
        await stage.catch_up()
        assert [line.stream for line in await stage.lines()] == ["good"]
        (letter,) = await stage.letters()
        assert (letter["stream"], letter["error_type"]) == ("bad", "InFailedSQLTransactionError")
        assert "async with connection.transaction()" in letter["traceback"]


async def test_caught_error_is_parked_again_when_it_is_retried(database: str) -> None:
    async with open_stage(database, Swallowing(), policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.catch_up()
        await stage.ask_retry()
        stage.start()
        await stage.until_retried()
        await stage.stop()
        (letter,) = await stage.letters()
        assert letter["attempts"] == 2
