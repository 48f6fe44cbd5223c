import asyncio
import dataclasses
import re
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest

from sidecar.errors import ConcurrencyError, EventTypeError, StoreUnavailableError
from sidecar.events.event_log import Appended
from sidecar.events.record import ANY, NO_STREAM
from sidecar.events.types import EventTypes
from tests.markdown import ROOT, read
from tests.postgres.eventually import eventually
from tests.postgres.shop import Paid, Placed
from tests.postgres.stage import Stage, open_stage

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with open_stage(database, max_connections=16) as stage:
        yield stage


async def drawn(stage: Stage) -> int:
    """Return how many positions were ever drawn."""
    query = "SELECT coalesce(pg_sequence_last_value('sidecar.events_position_seq'), 0)"
    return int(await stage.pool.fetchval(query))


async def test_first_event_starts_its_stream(stage: Stage) -> None:
    appended = await stage.store.append("order-1", [Placed("1", 5)], expected_version=NO_STREAM)
    assert appended == Appended(version=1, position=1)


async def test_any_version_appends_wherever_the_stream_is(stage: Stage) -> None:
    for version in (1, 2, 3):
        appended = await stage.store.append("order-1", [Placed("1", 5)], expected_version=ANY)
        assert appended.version == version


async def test_exact_version_appends(stage: Stage) -> None:
    await stage.place("order-1", 1, 2)
    appended = await stage.store.append("order-1", [Paid("1")], expected_version=2)
    assert appended.version == 3


@pytest.mark.parametrize("events", [[Paid("1")], [Paid("1"), Paid("1")]])
@pytest.mark.parametrize("expected", [NO_STREAM, 1, 7])
async def test_conflict_tells_both_versions_and_draws_no_position(
    stage: Stage, expected: int, events: list[Paid]
) -> None:
    await stage.place("order-1", 1, 2)
    before = await drawn(stage)
    with pytest.raises(ConcurrencyError) as caught:
        await stage.store.append("order-1", events, expected_version=expected)
    assert (caught.value.expected, caught.value.actual) == (expected, 2)
    assert await drawn(stage) == before
    assert len(await stage.store.read_stream("order-1")) == 2


async def test_concurrent_writers_of_any_version_all_succeed(stage: Stage) -> None:
    results = await asyncio.gather(
        *(stage.store.append("order-1", [Placed("1", n)]) for n in range(40))
    )
    assert sorted(result.version for result in results) == list(range(1, 41))


async def test_of_concurrent_writers_of_one_version_exactly_one_wins(stage: Stage) -> None:
    await stage.place("order-1", 1)
    results = await asyncio.gather(
        *(stage.store.append("order-1", [Paid("1")], expected_version=1) for _ in range(20)),
        return_exceptions=True,
    )
    winners = [result for result in results if isinstance(result, Appended)]
    losers = [result for result in results if isinstance(result, ConcurrencyError)]
    assert len(winners) == 1
    assert len(losers) == 19
    assert {loser.actual for loser in losers} == {2}


async def test_writer_of_any_version_who_loses_too_often_hears_of_no_version(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.postgres.log.append.MAX_RACES", 0)
    async with stage.pool.acquire() as connection, connection.transaction():
        await stage.store.append("order-1", [Placed("1", 1)], connection=connection)
        late = asyncio.create_task(stage.store.append("order-1", [Placed("1", 2)]))
        await eventually(lambda: stage.pool.fetchval(WAITING))
    with pytest.raises(ConcurrencyError, match="'order-1' were faster") as caught:
        await late
    assert "version" not in str(caught.value)
    assert (caught.value.expected, caught.value.actual) == (ANY, None)
    assert (await stage.store.append("order-1", [Placed("1", 2)])).version == 2


async def test_batch_is_one_run_of_versions_and_positions(stage: Stage) -> None:
    await stage.place("order-1", 1)
    events = [Placed("1", n) for n in range(1000)]
    assert (await stage.store.append("order-1", events, expected_version=1)).version == 1001
    records = (await stage.store.read_stream("order-1", after_version=1))[:1000]
    assert [record.version for record in records] == list(range(2, 1002))
    assert [record.position for record in records] == list(range(2, 1002))
    assert [stage.store.decode(record) for record in records] == events


async def test_batch_with_an_unregistered_event_appends_nothing(stage: Stage) -> None:
    with pytest.raises(EventTypeError):
        await stage.store.append("order-1", [Placed("1", 1), object()])
    assert await drawn(stage) == 0


@pytest.mark.parametrize(("stream", "events"), [("", [Paid("1")]), ("order-1", [])])
async def test_append_of_nothing_or_to_nowhere_is_refused(
    stage: Stage, stream: str, events: list[Paid]
) -> None:
    with pytest.raises(ValueError, match="needs the name of a stream"):
        await stage.store.append(stream, events)


async def test_append_stands_with_the_transaction_that_it_joins(stage: Stage) -> None:
    async with stage.pool.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TABLE orders (id text)")
        await stage.store.append("order-1", [Placed("1", 5)], connection=connection)
        assert await stage.store.read_stream("order-1") == []
    assert len(await stage.store.read_stream("order-1")) == 1
    assert await stage.pool.fetchval("SELECT count(*) FROM orders") == 0


async def test_append_falls_with_the_transaction_that_it_joins(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await stage.store.append("order-1", [Placed("1", 5)], connection=connection)
        await transaction.rollback()
    assert await stage.store.read_stream("order-1") == []


async def test_metadata_travels_with_each_event(stage: Stage) -> None:
    events = [Placed("1", 5), Paid("1")]
    await stage.store.append("order-1", events, metadata={"traceparent": "00-ab-cd-01"})
    records = await stage.store.read_stream("order-1")
    assert [record.headers() for record in records] == [{"traceparent": "00-ab-cd-01"}] * 2


def test_registration_refuses_a_class_that_can_be_mutated() -> None:
    @dataclasses.dataclass
    class Loose:
        order: str

    class LooseStruct(msgspec.Struct):
        order: str

    for cls in (Loose, LooseStruct, object):
        with pytest.raises(EventTypeError, match="frozen"):
            EventTypes().register()(cls)


async def test_a_full_disk_is_no_error_of_the_event(stage: Stage) -> None:
    await stage.pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'no space left' USING ERRCODE = 'disk_full'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON sidecar.events"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(StoreUnavailableError, match="no room for the event: SQLSTATE 53100"):
        await stage.store.append("order-1", [Placed("1", 5)])


async def test_ids_of_old_events_go_by_the_statement_in_the_docs(stage: Stage) -> None:
    page = await asyncio.to_thread(read, ROOT / "docs" / "develop.md")
    statement = re.search(r"`(DELETE FROM sidecar\.append_ids[^`]+)`", page)
    assert statement is not None
    ids = [uuid.uuid4(), uuid.uuid4()]
    for number, id_ in enumerate(ids):
        await stage.store.append("order-1", [Placed("a", number)], event_ids=[id_])
    await stage.pool.execute(
        "UPDATE sidecar.events SET recorded_at = now() - interval '32 days' WHERE version = 1"
    )
    await stage.pool.execute(statement[1])
    left = await stage.pool.fetch("SELECT id FROM sidecar.append_ids")
    assert [row["id"] for row in left] == ids[1:]
