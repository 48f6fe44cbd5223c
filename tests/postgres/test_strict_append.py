"""A database whose transactions are serializable by default: writers do not fail one another."""

import asyncio
import uuid

import asyncpg
import pytest

from sidecar.errors import ConcurrencyError, SerializationConflictError
from sidecar.events.event_log import Appended
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.store import EventStore
from sidecar.postgres.transient import is_transient
from tests.postgres.shop import Placed
from tests.postgres.stage import open_stage, session

WRITERS = 8
ROUNDS = 20
SUM_UP = "SELECT count(*) FROM sidecar.events"


@pytest.fixture
async def database(database: str) -> str:
    async with session(database) as connection:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(
            f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
        )
    return database


async def test_writers_of_other_streams_all_succeed(database: str) -> None:
    async def write(store: EventStore, number: int) -> None:
        for amount in range(ROUNDS):
            await store.append(f"order-{number}", [Placed("order", amount)])

    async with open_stage(database) as stage:
        await asyncio.gather(*(write(stage.store, number) for number in range(WRITERS)))
        assert await stage.pool.fetchval(SUM_UP) == WRITERS * ROUNDS


async def test_of_those_who_expect_one_version_one_wins_and_the_others_are_told(
    database: str,
) -> None:
    async with open_stage(database) as stage:
        for version in range(ROUNDS):
            ended = await asyncio.gather(
                *(
                    stage.store.append("order", [Placed("order", 1)], expected_version=version)
                    for _ in range(WRITERS)
                ),
                return_exceptions=True,
            )
            assert sum(isinstance(each, Appended) for each in ended) == 1
            lost = [each for each in ended if not isinstance(each, Appended)]
            assert [type(each) for each in lost] == [ConcurrencyError] * (WRITERS - 1)


async def test_conflict_in_the_transaction_of_the_caller_says_what_to_do(database: str) -> None:
    async with (
        open_stage(database) as stage,
        session(database) as other,
        stage.pool.acquire() as connection,
        connection.transaction(isolation="serializable"),
    ):
        assert await connection.fetchval(SUM_UP) == 0
        await append_after_reading(stage.store, other)
        with pytest.raises(SerializationConflictError, match="whole transaction again") as caught:
            await stage.store.append("order", [Placed("order", 1)], connection=connection)
    assert isinstance(caught.value.__cause__, asyncpg.SerializationError)
    assert is_transient(caught.value)


async def append_after_reading(store: EventStore, other: RawConnection) -> None:
    async with other.transaction(isolation="serializable"):
        assert await other.fetchval(SUM_UP) == 0
        await store.append("other", [Placed("other", 1)], connection=other)


async def test_a_second_try_that_cannot_see_the_first_says_what_to_do(database: str) -> None:
    ids, events = [uuid.uuid4()], [Placed("order", 1)]
    async with (
        open_stage(database) as stage,
        session(database) as connection,
    ):
        async with connection.transaction(isolation="repeatable_read"):
            assert await connection.fetchval(SUM_UP) == 0
            first = await stage.store.append("order", events, event_ids=ids)
            # To another stream, which this transaction could still write.
            await stage.pool.execute("UPDATE sidecar.append_ids SET stream = 'other'")
            with pytest.raises(SerializationConflictError, match="run the whole transaction"):
                await stage.store.append("other", events, event_ids=ids, connection=connection)
        await stage.pool.execute("UPDATE sidecar.append_ids SET stream = 'order'")
        async with connection.transaction():
            again = await stage.store.append("order", events, event_ids=ids, connection=connection)
        assert again == first
        assert await stage.pool.fetchval(SUM_UP) == 1
