"""A service's own codecs are about its own values: the log stays text as it was written."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from sidecar.errors import ConcurrencyError, ReadModelLateError
from sidecar.events.event_log import Appended
from sidecar.events.publisher import EventPublisher
from sidecar.postgres.dead_letters.dead_letter import request_retry, show_dead_letter
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from sidecar.wiring.sink import DeadLetterSink
from tests.postgres.codecs import (
    speak_json,
    speak_json_in_binary,
    speak_of_nothing_as_it_is,
    speak_otherwise,
)
from tests.postgres.shop import Journal, Placed, types
from tests.postgres.stage import Stage, open_stage, session

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

EVENTS = [Placed("ä 1", 5), Placed("2", 6)]


CODECS = [speak_json, speak_otherwise, speak_json_in_binary, speak_of_nothing_as_it_is]


@pytest.fixture(params=CODECS)
async def pool(request: pytest.FixtureRequest, database: str) -> AsyncIterator[MeteredPool]:
    async with MeteredPool(
        database, name="app", min_size=1, max_size=4, init=request.param
    ) as pool:
        yield pool


@pytest.fixture
async def plain(database: str) -> AsyncIterator[Stage]:
    """Set up a worker, whose sessions have no codecs."""
    async with open_stage(database, Journal()) as stage:
        yield stage


async def test_what_is_appended_is_an_object_for_everybody(pool: MeteredPool, plain: Stage) -> None:
    store = EventStore(pool, types)
    metadata = {"traceparent": "00-ab-cd-01"}
    await store.append("one", EVENTS[:1], metadata=metadata)
    await store.append("many", EVENTS, metadata=metadata)
    async with pool.acquire() as connection, connection.transaction():
        await store.append("joined", EVENTS, metadata=metadata, connection=connection)
    await plain.store.append("worker", EVENTS, metadata=metadata)

    kinds = await plain.pool.fetch(
        "SELECT DISTINCT json_typeof(data), json_typeof(metadata) FROM sidecar.events"
    )
    assert [tuple(row) for row in kinds] == [("object", "object")]
    for reader in (store, plain.store):
        records = [record async for record in reader.read_all()]
        assert [reader.decode(record) for record in records] == [*EVENTS[:1], *EVENTS * 3]
        assert all(record.headers() == metadata for record in records)
        assert [record.data for record in records] == [
            record.data for record in await plain.store.read()
        ]
        assert len({record.id for record in records}) == 7
        assert [reader.decode(r) for r in await reader.read_stream("many")] == EVENTS
    await plain.catch_up()
    assert len(await plain.lines()) == 7
    assert await plain.letters() == []


async def test_dead_letters_are_kept_and_tried_again(pool: MeteredPool, database: str) -> None:
    heard: list[object] = []

    async def mails(event: object) -> None:
        if not heard:
            heard.append(None)
            raise ValueError("no mail")
        heard.append(event)

    sink = DeadLetterSink(pool, types)
    publisher = EventPublisher(types, sink=sink)
    publisher.add_projection(mails)
    await publisher.publish(EVENTS[0])
    async with session(database) as connection:
        kind = await connection.fetchval("SELECT json_typeof(event) FROM sidecar.dead_letters")
        assert kind == "object"
    async with pool.acquire() as own:
        detail = await show_dead_letter(own, 1)
        assert detail.data is not None
        assert json.loads(detail.data) == {"order": "ä 1", "amount": 5}
        await request_retry(own)
    assert await sink.retry_due(publisher) == 1
    assert heard == [None, EVENTS[0]]


async def take_uuids_alone(connection: Any) -> None:
    """A codec that no text can go through."""
    await connection.set_type_codec(
        "uuid", encoder=lambda value: value.hex, decoder=str, schema="pg_catalog"
    )


async def test_ids_pass_by_codecs_that_are_set_after_the_pool_was_opened(database: str) -> None:
    async with MeteredPool(database, name="app", min_size=1, max_size=1) as pool:
        store = EventStore(pool, types)
        first = await store.append("a", EVENTS)
        async with pool.acquire() as connection:
            await take_uuids_alone(connection)
            async with connection.transaction():
                second = await store.append("a", EVENTS, connection=connection)
        third = await store.append("a", EVENTS)
    assert (first.version, second.version, third.version) == (2, 4, 6)


class OwnConnection(_Connection):
    """As services have, with methods of their own."""

    async def speak_of_nothing_as_it_is(self) -> None:
        await speak_of_nothing_as_it_is(self)


@pytest.mark.parametrize("ids", [None, [uuid.uuid4(), uuid.uuid4()]], ids=["drawn", "given"])
@pytest.mark.parametrize("init", CODECS)
async def test_an_append_passes_by_the_codecs_of_a_connection_that_is_not_ours(
    database: str, init: Any, ids: list[uuid.UUID] | None
) -> None:
    async with MeteredPool(database, name="app", min_size=1, max_size=1) as pool:
        store = EventStore(pool, types)
        foreign = await asyncpg.connect(database, connection_class=OwnConnection)
        try:
            await init(foreign)
            async with foreign.transaction():
                appended = await store.append("ä", EVENTS, event_ids=ids, connection=foreign)
                assert await store.append("b", EVENTS[:1], connection=foreign) == Appended(1, 3)
                with pytest.raises(ConcurrencyError, match="it is at 2"):
                    await store.append("ä", EVENTS, expected_version=7, connection=foreign)
        finally:
            await foreign.close()
        assert appended == Appended(2, 2)
        assert [store.decode(record) for record in await store.read_stream("ä")] == EVENTS


async def test_a_pool_of_connections_of_the_services_own_class_passes_by_their_codecs(
    database: str,
) -> None:
    async with MeteredPool(
        database,
        name="app",
        min_size=1,
        max_size=1,
        connection_class=OwnConnection,
        init=OwnConnection.speak_of_nothing_as_it_is,
    ) as pool:
        store = EventStore(pool, types)
        await store.append("ä", EVENTS, metadata={"by": "me"})
        records = await store.read()
        assert [store.decode(record) for record in records] == EVENTS
        assert [record.headers() for record in records] == [{"by": "me"}] * 2
        assert await pool.fetchval("SELECT 'abc'") == ["a", "b", "c"]


async def test_reading_your_writes_passes_by_codecs(pool: MeteredPool, plain: Stage) -> None:
    store = EventStore(pool, types)
    ids = [uuid.uuid4()]
    first = await store.append("a", EVENTS[:1], event_ids=ids)
    assert await store.append("a", EVENTS[:1], event_ids=ids) == first
    await plain.catch_up()
    await store.wait_until(first.position, "journal", stream="a")
    with pytest.raises(ReadModelLateError, match="is at position 1"):
        await store.wait_until(first.position + 1, "journal", timeout_seconds=0.01)


async def test_a_pool_that_keeps_no_statements_appends_and_reads(database: str) -> None:
    options: Any = {"statement_cache_size": 0}
    async with MeteredPool(database, name="app", min_size=1, max_size=2, **options) as pool:
        store = EventStore(pool, types)
        assert await store.append("one", EVENTS[:1]) == Appended(version=1, position=1)
        assert (await store.append("one", EVENTS)).version == 3
        assert [store.decode(record) for record in await store.read()] == [EVENTS[0], *EVENTS]
