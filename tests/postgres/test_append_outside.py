"""An append that joins a transaction needs one: else its events would stand by themselves."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from sidecar.errors import UsageError
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.store import EventStore
from tests.postgres.shop import Journal, Paid, Placed
from tests.postgres.stage import Stage, open_stage


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with open_stage(database) as stage:
        yield stage


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database.replace("postgresql://", "postgresql+asyncpg://", 1))
    yield engine
    await engine.dispose()


async def streams(stage: Stage) -> list[str]:
    return [record.stream for record in await stage.store.read()]


async def append(stage: Stage, connection: Any, events: int = 1) -> None:
    await stage.store.append("order-1", [Placed("1", 5)] * events, connection=connection)


@pytest.mark.parametrize("events", [1, 2])
async def test_connection_without_a_transaction_is_refused_and_nothing_is_appended(
    stage: Stage, events: int
) -> None:
    async with stage.pool.acquire() as connection:
        with pytest.raises(UsageError, match=r"no transaction.*`async with connection.transaction"):
            await append(stage, connection, events)
        await connection.execute("BEGIN")
        await append(stage, connection, events)
        await connection.execute("ROLLBACK")
        with pytest.raises(UsageError, match="no transaction"):
            await append(stage, connection, events)
    assert await streams(stage) == []


async def test_pool_in_place_of_a_connection_is_refused(stage: Stage) -> None:
    with pytest.raises(UsageError, match="MeteredPool"):
        await append(stage, stage.pool)
    assert await streams(stage) == []


@pytest.mark.parametrize("ids", [None, [uuid.uuid4()]], ids=["drawn", "given"])
async def test_transaction_that_cannot_be_joined_is_refused_in_words(
    stage: Stage, ids: list[uuid.UUID] | None
) -> None:
    events = [Placed("1", 5)]

    async def append_to(connection: Any) -> None:
        await stage.store.append("order-1", events, event_ids=ids, connection=connection)

    async with stage.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1 / 0")
        with pytest.raises(UsageError, match="has failed already"):
            await append_to(connection)
        await transaction.rollback()
        async with connection.transaction(readonly=True):
            with pytest.raises(UsageError, match="takes no writes"):
                await append_to(connection)
    with pytest.raises(UsageError, match="given back to its pool"):
        await append_to(connection)
    own = await asyncpg.connect(stage.dsn)
    await own.close()
    with pytest.raises(UsageError, match="is closed"):
        await append_to(own)
    foreign = await psycopg.AsyncConnection.connect(stage.dsn)
    async with foreign:
        with pytest.raises(UsageError, match="AsyncConnection is no connection of asyncpg"):
            await append_to(foreign)
    assert await streams(stage) == []


async def test_append_before_the_first_statement_of_sqlalchemy_is_refused(
    stage: Stage, engine: AsyncEngine
) -> None:
    """SQLAlchemy says that it has begun, and PostgreSQL hears of it with the first statement."""
    async with engine.begin() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        with pytest.raises(UsageError, match=r"no transaction.*SQLAlchemy .*first statement"):
            await append(stage, raw)
    async with engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("SELECT 1"))
        raw = (await autocommit.get_raw_connection()).driver_connection
        with pytest.raises(UsageError, match="no transaction"):
            await append(stage, raw)
    assert await streams(stage) == []


async def test_append_stands_and_falls_with_a_transaction_of_sqlalchemy(
    stage: Stage, engine: AsyncEngine
) -> None:
    for is_kept in (False, True):
        async with engine.connect() as connection, connection.begin() as transaction:
            await connection.execute(text("CREATE TABLE orders (id text)"))
            raw = (await connection.get_raw_connection()).driver_connection
            await append(stage, raw)
            await (transaction.commit() if is_kept else transaction.rollback())
        assert await streams(stage) == ["order-1"] * is_kept
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 1"))
        raw = (await (await session.connection()).get_raw_connection()).driver_connection
        await append(stage, raw)
        await session.rollback()
    assert await streams(stage) == ["order-1"]


async def test_what_wraps_a_connection_is_refused_with_the_way_to_it(
    stage: Stage, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection, AsyncSession(engine) as session:
        for wrapper in (connection, session):
            with pytest.raises(UsageError, match=f"{type(wrapper).__name__}.*driver_connection"):
                await append(stage, wrapper)
    with pytest.raises(UsageError, match="object is no connection of asyncpg"):
        await append(stage, object())


class Payments(Journal):
    """Appends in the transaction of its batch."""

    store: EventStore

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        own: Any = connection
        await self.store.append("payments", [Paid(event.order)], connection=own)
        await super().handle(event, connection, record)


async def test_projection_appends_in_the_transaction_of_its_batch(database: str) -> None:
    payments = Payments()
    async with open_stage(database, payments) as stage:
        payments.store = stage.store
        await stage.place("order-1", 1)
        await stage.catch_up()
        assert await streams(stage) == ["order-1", "payments"]
        assert len(await stage.lines()) == 1
