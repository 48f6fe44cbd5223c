"""A service's own codecs are about its own values: the log stays text as it was written."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from sidecar.events.publisher import EventPublisher
from sidecar.postgres.dead_letter import request_retry, show_dead_letter
from sidecar.postgres.pool import MeteredPool
from sidecar.postgres.store import EventStore
from sidecar.wiring.sink import DeadLetterSink
from tests.postgres.shop import Journal, Placed, types
from tests.postgres.stage import Stage, open_stage, session

EVENTS = [Placed("ä 1", 5), Placed("2", 6)]


async def speak_json(connection: Any) -> None:
    """What asyncpg's documentation shows, and most services do."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )


async def speak_otherwise(connection: Any) -> None:
    """Values of the service's own making, refused where another kind of value is bound."""

    def only_text(value: object) -> str:
        assert isinstance(value, str)
        return value

    for name in ("uuid", "timestamptz", "numeric", "json", "text"):
        await connection.set_type_codec(
            name, encoder=only_text, decoder=lambda text: text, schema="pg_catalog"
        )


async def speak_json_in_binary(connection: Any) -> None:
    await connection.set_type_codec(
        "json",
        encoder=lambda value: json.dumps(value).encode(),
        decoder=lambda data: json.loads(bytes(data)),
        schema="pg_catalog",
        format="binary",
    )


@pytest.fixture(params=[speak_json, speak_otherwise, speak_json_in_binary])
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


async def test_ids_pass_by_the_codecs_of_a_connection_that_is_not_ours(database: str) -> None:
    async with MeteredPool(database, name="app", min_size=1, max_size=1) as pool:
        store = EventStore(pool, types)
        foreign = await asyncpg.connect(database)
        try:
            await take_uuids_alone(foreign)
            async with foreign.transaction():
                appended = await store.append("a", EVENTS, connection=foreign)
        finally:
            await foreign.close()
    assert appended.version == 2
