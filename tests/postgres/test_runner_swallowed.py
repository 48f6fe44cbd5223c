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


class Careful(Journal):
    """Catches what a statement of its own may raise, in a block as it should."""

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        if event.order == "bad":
            insert = "INSERT INTO journal (position, stream) VALUES ($1, $2)"
            await connection.execute(insert, "no number", record.stream)
        elif event.order == "probing":
            with suppress(asyncpg.PostgresError):
                async with connection.transaction():
                    await connection.execute("INSERT INTO journal (nothing) VALUES (1)")
            await super().handle(event, connection, record)
        else:
            await super().handle(event, connection, record)


async def test_error_of_an_earlier_event_that_a_handler_catches_is_that_event_s(
    database: str,
) -> None:
    async with open_stage(database, Careful(), policy=ONCE) as stage:
        for order in ("good", "bad", "probing", "last"):
            await stage.place(order, 1)
        await stage.catch_up()
        assert [line.stream for line in await stage.lines()] == ["good", "probing", "last"]
        (letter,) = await stage.letters()
        assert (letter["stream"], letter["error_type"]) == ("bad", "DataError")


async def test_own_error_that_is_caught_around_its_block_is_no_failure(database: str) -> None:
    careful = Careful()
    async with open_stage(database, careful, policy=ONCE) as stage:
        for number in range(4):
            await stage.place(f"s{number}", number, order="probing")
        await stage.catch_up()
        assert len(await stage.lines()) == 4
        assert (careful.calls, await stage.letters()) == (4, [])


class Nested(Journal):
    """Has a block in a block; the outer one's error is not the inner one's."""

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        with suppress(asyncpg.PostgresError):
            async with connection.transaction():
                insert = "INSERT INTO journal (position, stream) VALUES ($1, $2)"
                await connection.execute(insert, "no number", record.stream)
                with suppress(asyncpg.PostgresError):
                    async with connection.transaction():
                        await connection.execute("SELECT 1 / 0")
                await connection.execute("INSERT INTO journal (stream) VALUES ('never')")
        with suppress(asyncpg.PostgresError):
            async with connection.transaction():
                await connection.execute("SELECT 1 / 0")
        await super().handle(event, connection, record)


async def test_error_within_a_block_undoes_that_block_as_if_each_write_was_sent_at_once(
    database: str,
) -> None:
    async with open_stage(database, Nested(), policy=ONCE) as stage:
        await stage.place("a", 1)
        await stage.catch_up()
        assert [line.stream for line in await stage.lines()] == ["a"]
