"""One suite over the store in PostgreSQL and the one in memory: tests of a service may trust it."""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from sidecar.errors import ConcurrencyError, EventDecodingError, EventTypeError, UsageError
from sidecar.events.event_log import Appended, EventLog
from sidecar.events.record import ANY, NO_STREAM
from sidecar.events.types import EventTypes
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from sidecar.testing import InMemoryEventStore
from tests.postgres.cluster import TEMPLATE, Cluster

types = EventTypes()


@types.register(name="Placed", version=2)
class Placed(msgspec.Struct, frozen=True):
    order: str
    amount: int


@types.register()
class Odd(msgspec.Struct, frozen=True):
    """Of a field that takes what has no JSON form."""

    number: object


class Unregistered(msgspec.Struct, frozen=True):
    order: str


@pytest.fixture(params=["postgres", "memory"])
async def store(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[EventLog]:
    if request.param == "memory":
        yield InMemoryEventStore(types)
        return
    async with (
        cluster.database(TEMPLATE) as dsn,
        MeteredPool(dsn, name="store", min_size=1, max_size=4) as pool,
    ):
        yield EventStore(pool, types)


@asynccontextmanager
async def transaction_of(store: EventLog) -> AsyncIterator[object]:
    """Yield what a function of a service would append with; the stand-in takes anything."""
    if not isinstance(store, EventStore):
        yield object()
        return
    async with store._pool.acquire() as connection, connection.transaction():
        yield connection


def placed(*amounts: int) -> list[Placed]:
    return [Placed("o", amount) for amount in amounts]


async def test_appends_tell_version_and_position(store: EventLog) -> None:
    assert await store.append("a", placed(1)) == Appended(1, 1)
    assert await store.append("b", placed(1, 2), expected_version=NO_STREAM) == Appended(2, 3)
    assert await store.append("a", placed(2, 3), expected_version=1) == Appended(3, 5)
    assert await store.append("a", placed(4), expected_version=ANY) == Appended(4, 6)


@pytest.mark.parametrize("expected", [NO_STREAM, 1, 3])
@pytest.mark.parametrize("amounts", [(9,), (9, 9)])
async def test_conflict_tells_both_versions_and_appends_nothing(
    store: EventLog, expected: int, amounts: tuple[int, ...]
) -> None:
    await store.append("a", placed(1, 2))
    with pytest.raises(ConcurrencyError) as caught:
        await store.append("a", placed(*amounts), expected_version=expected)
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("a", expected, 2)
    assert len(await store.read()) == 2
    assert await store.append("b", placed(1)) == Appended(1, 3)


async def test_stream_that_is_not_there_is_at_version_0(store: EventLog) -> None:
    with pytest.raises(ConcurrencyError) as caught:
        await store.append("a", placed(1), expected_version=4)
    assert caught.value.actual == 0
    assert await store.read_stream("a") == []


@pytest.mark.parametrize(("stream", "amounts"), [("", (1,)), ("a", ())])
async def test_nothing_and_nowhere_are_refused(
    store: EventLog, stream: str, amounts: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="name of a stream and at least one event"):
        await store.append(stream, placed(*amounts))


@pytest.mark.parametrize("stream", ["nul \0", "half \ud800", 5])
async def test_stream_that_postgres_cannot_keep_is_refused(store: EventLog, stream: Any) -> None:
    with pytest.raises(ValueError, match="no name that PostgreSQL can keep"):
        await store.append(stream, placed(1))
    assert await store.read() == []


@pytest.mark.parametrize("version", ["1", 1.0, True, -1, 2**63])
async def test_version_that_no_stream_can_have_is_refused(store: EventLog, version: Any) -> None:
    with pytest.raises(UsageError, match=r"expected_version is .*ANY, NO_STREAM"):
        await store.append("a", placed(1), expected_version=version)
    assert await store.read() == []


@pytest.mark.parametrize("stream", ["nul \0", "half \ud800", ""])
async def test_stream_that_cannot_be_there_is_read_as_empty(store: EventLog, stream: str) -> None:
    assert await store.read_stream(stream) == []


async def test_event_that_would_lose_a_part_is_refused(store: EventLog) -> None:
    with pytest.raises(EventTypeError, match=r"Odd.number is of type Decimal"):
        await store.append("a", [Odd(1), Odd(Decimal(1))])
    assert await store.read() == []


@pytest.mark.parametrize("events", [Placed("o", 1), iter(placed(1)), "events"])
async def test_what_is_no_list_of_events_is_refused(store: EventLog, events: Any) -> None:
    with pytest.raises(ValueError, match=f"a list of events, and {type(events).__name__} is none"):
        await store.append("a", events)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("text", "mapping of names to values, not str"),
        ([1], "not list"),
        ({"a": object()}, "without JSON form: Encoding objects of type object"),
        ({"a": "half \ud800"}, "without JSON form"),
        ({"a": [1.0, math.inf]}, "NaN or infinite"),
    ],
)
async def test_metadata_that_nobody_could_read_is_refused(
    store: EventLog, metadata: Any, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        await store.append("a", placed(1), metadata=metadata)
    assert await store.read() == []


@pytest.mark.parametrize("event", [Unregistered("o"), Odd(object()), "text"])
async def test_event_that_cannot_be_written_appends_nothing(store: EventLog, event: object) -> None:
    with pytest.raises(EventTypeError):
        await store.append("a", [*placed(1), event])
    assert await store.read() == []


async def test_record_carries_its_envelope(store: EventLog) -> None:
    await store.append("a", placed(5, 6), metadata={"traceparent": "00-ab-cd-01"})
    first, second = await store.read_stream("a")
    assert (first.position, first.stream, first.version) == (1, "a", 1)
    assert (first.type, first.schema_version) == ("Placed", 2)
    assert first.data == '{"order":"o","amount":5}'
    assert first.headers() == second.headers() == {"traceparent": "00-ab-cd-01"}
    assert first.metadata == '{"traceparent":"00-ab-cd-01"}'
    assert first.recorded_at.utcoffset() is not None
    assert first.id != second.id


@pytest.mark.parametrize("metadata", [None, {}])
async def test_no_metadata_stays_absent(
    store: EventLog, metadata: dict[str, object] | None
) -> None:
    await store.append("a", placed(1), metadata=metadata)
    [record] = await store.read()
    assert record.metadata is None
    assert record.headers() == {}


async def test_append_takes_the_connection_of_an_open_transaction(store: EventLog) -> None:
    async with transaction_of(store) as connection:
        appended = await store.append(
            "a", placed(1), expected_version=NO_STREAM, metadata={"a": 1}, connection=connection
        )
    assert appended == Appended(1, 1)
    assert [store.decode(record) for record in await store.read_stream("a")] == placed(1)


async def test_stream_is_read_above_a_version_up_to_a_limit(store: EventLog) -> None:
    for amount in range(5):
        await store.append("a", placed(amount))
        await store.append("b", placed(amount))
    records = await store.read_stream("a", after_version=1, limit=3)
    assert [(record.stream, record.version) for record in records] == [
        ("a", 2),
        ("a", 3),
        ("a", 4),
    ]
    assert await store.read_stream("a", after_version=5) == []
    assert await store.read_stream("nobody") == []


async def test_log_is_read_above_a_position_up_to_a_limit(store: EventLog) -> None:
    for stream in "abcd":
        await store.append(stream, placed(1, 2))
    records = await store.read(after_position=3, limit=2)
    assert [(record.position, record.stream) for record in records] == [(4, "b"), (5, "c")]
    assert await store.read(after_position=8) == []


@pytest.mark.parametrize("page_events", [1, 3, 7, 1000])
async def test_whole_log_is_read_in_pages(store: EventLog, page_events: int) -> None:
    await store.append("a", placed(*range(7)))
    records = [record async for record in store.read_all(page_events=page_events)]
    assert [store.decode(record) for record in records] == placed(*range(7))


async def test_event_that_does_not_fit_its_type_is_a_decoding_error(store: EventLog) -> None:
    await store.append("a", placed(1))
    [record] = await store.read()
    record = msgspec.structs.replace(record, data='{"order":"o","amount":"secret"}')
    with pytest.raises(EventDecodingError, match=r"position 1 .*\$\.amount") as caught:
        store.decode(record)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("amount", ["secret", 1.5, True, None])
async def test_event_that_nobody_could_read_is_refused_with_class_field_and_reason(
    store: EventLog, amount: Any
) -> None:
    words = r"Placed could be stored, but never be read again: Expected `int`, .*`\$\.amount`"
    with pytest.raises(EventTypeError, match=words) as caught:
        await store.append("a", [*placed(1), Placed("o", amount)])
    assert "secret" not in str(caught.value)
    assert await store.read() == []
    assert await store.append("a", placed(1)) == Appended(1, 1)


async def test_type_that_is_not_registered_is_a_key_error(store: EventLog) -> None:
    await store.append("a", placed(1))
    [record] = await store.read()
    with pytest.raises(KeyError, match="Unheard"):
        store.decode(msgspec.structs.replace(record, type="Unheard"))


async def test_reader_cannot_change_what_is_stored(store: EventLog) -> None:
    await store.append("a", placed(1))
    records = await store.read()
    records.clear()
    assert len(await store.read()) == 1


async def test_an_append_under_ids_of_its_own_happens_once(store: EventLog) -> None:
    ids = [uuid.uuid4(), uuid.uuid4()]
    events = [Placed("a", 1), Placed("a", 2)]
    await store.append("other", [Placed("b", 1)])
    first = await store.append("a", events, event_ids=ids, expected_version=NO_STREAM)
    assert await store.append("a", events, event_ids=ids, expected_version=NO_STREAM) == first
    async with transaction_of(store) as connection:
        again = await store.append("a", events, event_ids=ids, connection=connection)
    assert again == first == Appended(2, 3)
    assert [record.id for record in await store.read_stream("a")] == ids


OTHER = uuid.uuid4()
KNOWN = uuid.uuid4()


@pytest.mark.parametrize(
    ("ids", "fault"),
    [
        ([KNOWN, OTHER], "1 of 2 event_ids are those of events"),
        ([KNOWN], "2 different ids, one for each event"),
        ([KNOWN, KNOWN], "2 different ids, one for each event"),
        ([str(KNOWN), str(OTHER)], "a list of `uuid.UUID`"),
        (iter([KNOWN, OTHER]), "a list of `uuid.UUID`"),
        (KNOWN, "a list of `uuid.UUID`"),
    ],
    ids=["some known", "too few", "twice", "texts", "iterator", "one"],
)
async def test_ids_that_are_not_those_of_the_same_append_are_refused(
    store: EventLog, ids: Any, fault: str
) -> None:
    await store.append("a", [Placed("a", 1)], event_ids=[KNOWN])
    with pytest.raises(UsageError, match=fault):
        await store.append("a", [Placed("a", 1), Placed("a", 2)], event_ids=ids)
    with pytest.raises(UsageError, match="to stream 'a'"):
        await store.append("b", [Placed("b", 1)], event_ids=[KNOWN])
    assert len(await store.read()) == 1


async def test_tries_of_one_append_at_the_same_time_happen_once(store: EventLog) -> None:
    ids = [uuid.uuid4()]
    tries = [store.append("a", [Placed("a", 1)], event_ids=ids) for _ in range(8)]
    (appended,) = set(await asyncio.gather(*tries))
    assert [record.position for record in await store.read()] == [appended.position]
