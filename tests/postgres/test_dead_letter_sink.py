"""What projections fail on when a service publishes right after its commit."""

import logging
import re
from collections.abc import AsyncIterator
from operator import attrgetter
from typing import Any, Final

import msgspec
import pytest

from sidecar.errors import StoreUnavailableError
from sidecar.events.publish_result import Failure
from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import SubscriberKind
from sidecar.events.types import EventTypes
from sidecar.postgres.dead_letters.dead_letter import request_retry
from sidecar.postgres.dead_letters.dead_letter_sink import stream_of
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.migration import migrate
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.samples.sample import take_sample
from sidecar.wiring.application_agent import agent
from sidecar.wiring.headline import describe
from sidecar.wiring.sink import DeadLetterSink
from sidecar.wiring.state_metrics import count_dead_letters, count_parked_streams
from tests.observed import ready_state
from tests.postgres.cluster import Cluster
from tests.postgres.eventually import eventually
from tests.postgres.stage import session

KILL: Final = (
    "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
    "WHERE application_name = 'app' AND state = 'idle in transaction'"
)

types = EventTypes()


@types.register()
class Shipped(msgspec.Struct, frozen=True):
    aggregate_id: str
    number: int
    lines: object = msgspec.UNSET


class Unheard:
    event_type = "Unheard"


class Mails:
    """Notes what it handled; fails on the numbers in `broken`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken: set[object] = set()
        self.handled: list[tuple[str, object]] = []

    def can_handle(self, event: object) -> bool:
        return True

    async def handle(self, event: Any) -> None:
        number = getattr(event, "number", 0)
        if number in self.broken:
            raise ValueError(f"no mail for {number}")
        self.handled.append((stream_of(event), number))


@pytest.fixture
async def pool(database: str) -> AsyncIterator[MeteredPool]:
    async with MeteredPool(database, name="app", min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
def mails() -> tuple[Mails, Mails]:
    return Mails("mails"), Mails("letters")


@pytest.fixture
def sink(pool: MeteredPool) -> DeadLetterSink:
    return DeadLetterSink(pool, types)


@pytest.fixture
def publisher(sink: DeadLetterSink, mails: tuple[Mails, Mails]) -> EventPublisher:
    publisher = EventPublisher(types, sink=sink)
    for projection in mails:
        publisher.add_projection(projection)
    return publisher


async def letters(pool: MeteredPool) -> list[tuple[Any, ...]]:
    """Return what is open, by age."""
    rows = await pool.fetch(
        "SELECT projection, stream, event_type, event::text, attempts FROM sidecar.dead_letters "
        "WHERE resolution IS NULL ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def ask(pool: MeteredPool, projection: str | None = None) -> list[int]:
    async with pool.acquire() as connection:
        return await request_retry(connection, projection=projection)


async def test_each_failed_projection_gets_a_letter(
    publisher: EventPublisher, pool: MeteredPool, mails: tuple[Mails, Mails]
) -> None:
    for projection in mails:
        projection.broken = {1}
    await publisher.publish(Shipped("a", 1))
    mails[1].broken = set()
    await publisher.publish(Shipped("b", 1))
    data = '{"aggregate_id":"%s","number":1}'
    assert await letters(pool) == [
        ("mails", "a", "Shipped", data % "a", 1),
        ("letters", "a", "Shipped", data % "a", 1),
        ("mails", "b", "Shipped", data % "b", 1),
    ]
    [row] = await pool.fetch("SELECT * FROM sidecar.dead_letters WHERE id = 1")
    assert (row["category"], row["error_type"], row["position"]) == ("apply", "ValueError", None)
    assert row["error_message"] == "no mail for 1"
    assert "in handle" in row["traceback"]


async def test_letters_that_no_worker_knows_of_are_seen(
    publisher: EventPublisher, pool: MeteredPool, mails: tuple[Mails, Mails]
) -> None:
    for projection in mails:
        projection.broken = {1}
    await publisher.publish(Shipped("a", 1))
    await publisher.publish(Shipped("a", 1))
    async with pool.acquire() as connection:
        sample = await take_sample(connection, SafeHeadFollower())
    state = ready_state(sample)
    assert count_dead_letters(state) == {"mails": 2, "letters": 2}
    assert count_parked_streams(state) == {"mails": 0, "letters": 0}
    said = describe(state)
    assert re.fullmatch(
        r"Ready\. Publishing to (\w+) left 2 dead letters since \d\d:\d\d, ValueError\."
        r" Publishing to (?!\1)\w+ left 2 dead letters since \d\d:\d\d, ValueError\.",
        said,
    ), said


async def test_failure_of_a_handler_is_not_kept(
    publisher: EventPublisher, pool: MeteredPool
) -> None:
    async def notify(_event: object) -> None:
        raise ValueError("no")

    publisher.add_handler(notify)
    assert not (await publisher.publish(Shipped("a", 1))).ok
    assert await letters(pool) == []


async def test_retries_keep_a_stream_in_order_and_stop_at_its_first_failure(
    publisher: EventPublisher, sink: DeadLetterSink, pool: MeteredPool, mails: tuple[Mails, Mails]
) -> None:
    mails[0].broken = {1, 2, 3}
    for number in (1, 2, 3):
        await publisher.publish(Shipped("a", number))
        await publisher.publish(Shipped("b", number))
    mails[0].broken = {2}
    assert await sink.retry_due(publisher) == 0  # nobody asked for it yet
    await ask(pool)
    assert await sink.retry_due(publisher) == 2
    assert mails[0].handled == [("a", 1), ("b", 1)]
    left = [(stream, attempts) for _, stream, _, _, attempts in await letters(pool)]
    assert left == [("a", 2), ("b", 2), ("a", 1), ("b", 1)]
    # Nothing is due now, though it was asked for: it waits behind the failure.
    assert await sink.retry_due(publisher) == 0
    mails[0].broken = set()
    await ask(pool, "mails")
    assert await sink.retry_due(publisher) == 4
    assert mails[0].handled[2:] == [("a", 2), ("b", 2), ("a", 3), ("b", 3)]
    assert await letters(pool) == []
    assert mails[1].handled == [(s, n) for n in (1, 2, 3) for s in ("a", "b")]


async def test_unregistered_event_is_kept_without_data_and_not_retried(
    publisher: EventPublisher, sink: DeadLetterSink, pool: MeteredPool, mails: tuple[Mails, Mails]
) -> None:
    mails[0].broken = {0}
    await publisher.publish(Unheard())
    assert await letters(pool) == [("mails", "Unheard", "Unheard", None, 1)]
    mails[0].broken = set()
    assert await ask(pool) == []
    assert await sink.retry_due(publisher) == 0
    assert len(await letters(pool)) == 1


async def test_letter_of_a_projection_of_another_service_is_left_to_it(
    publisher: EventPublisher, sink: DeadLetterSink, pool: MeteredPool
) -> None:
    await sink.keep(
        Shipped("a", 1), [Failure(SubscriberKind.PROJECTION, "elsewhere", ValueError())], "ab" * 16
    )
    await ask(pool)
    assert await sink.retry_due(publisher) == 0
    assert await pool.fetchval("SELECT trace_id FROM sidecar.dead_letters") == "ab" * 16


async def test_agent_of_the_application_takes_up_what_is_asked_for(
    publisher: EventPublisher, pool: MeteredPool, mails: tuple[Mails, Mails]
) -> None:
    mails[0].broken = {1}
    await publisher.publish(Shipped("a", 1))
    mails[0].broken = set()
    async with agent(publisher=publisher, port=0):
        await ask(pool)

        async def is_done() -> bool:
            return not await letters(pool)

        await eventually(is_done)
    assert mails[0].handled == [("a", 1)]


async def test_agent_goes_on_after_its_session_was_lost_in_a_retry(
    pool: MeteredPool, sink: DeadLetterSink, database: str
) -> None:
    tries = []

    async def handle(event: Shipped) -> None:
        tries.append(event.number)
        if len(tries) == 1:
            raise ValueError(event.number)
        if len(tries) == 2:
            async with session(database) as connection:
                assert await connection.fetchval(KILL) == 1

    publisher = EventPublisher(types, sink=sink)
    publisher.add_projection(handle)
    await publisher.publish(Shipped("a", 1))
    async with agent(publisher=publisher, port=0):
        await ask(pool)

        async def is_done() -> bool:
            return not await letters(pool)

        await eventually(is_done)
    assert tries == [1, 1, 1]


@pytest.mark.parametrize("stream", ["nul \0", "surrogate \ud800"])
async def test_publish_does_not_raise_for_text_that_postgres_cannot_keep(
    publisher: EventPublisher,
    mails: tuple[Mails, Mails],
    caplog: pytest.LogCaptureFixture,
    stream: str,
) -> None:
    mails[0].broken = {1}
    result = await publisher.publish(Shipped(stream, 1))
    assert result.failed_projections == ("mails",)
    assert "sidecar.letters.lost" in {getattr(r, "event", "") for r in caplog.records}


async def test_letter_keeps_no_secret_of_the_environment(
    pool: MeteredPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "c4nary-of-the-provider")

    class Leaking:
        name = "leaking"

        def can_handle(self, _event: object) -> bool:
            return True

        async def handle(self, _event: object) -> None:
            raise LookupError("401 for url https://ai.example/v1?key=c4nary-of-the-provider")

    sink = DeadLetterSink(pool, types)
    publisher = EventPublisher(types, sink=sink)
    publisher.add_projection(Leaking())
    await publisher.publish(Shipped("a", 1))
    for attempts in (1, 2):
        [row] = await pool.fetch("SELECT * FROM sidecar.dead_letters")
        assert row["attempts"] == attempts
        assert row["error_message"] == "401 for url https://ai.example/v1?key=***"
        assert "LookupError: 401" in row["traceback"]
        assert "c4nary" not in row["traceback"]
        await ask(pool)
        await sink.retry_due(publisher)


async def test_event_whose_stream_cannot_be_named_is_kept_under_its_class(
    pool: MeteredPool, mails: tuple[Mails, Mails], caplog: pytest.LogCaptureFixture
) -> None:
    sink = DeadLetterSink(pool, types, find_stream=attrgetter("order"))
    publisher = EventPublisher(types, sink=sink)
    publisher.add_projection(mails[0])
    mails[0].broken = {1}
    assert (await publisher.publish(Shipped("a", 1))).failed_projections == ("mails",)
    data = '{"aggregate_id":"a","number":1}'
    assert await letters(pool) == [("mails", "Shipped", "Shipped", data, 1)]
    [told] = [r for r in caplog.records if getattr(r, "event", "") == "sidecar.letters.unnamed"]
    assert told.exc_info is not None
    mails[0].broken = set()
    await ask(pool)
    assert await sink.retry_due(publisher) == 1


async def test_event_that_contains_itself_is_kept_without_its_data(
    publisher: EventPublisher, pool: MeteredPool, mails: tuple[Mails, Mails]
) -> None:
    lines: list[object] = []
    lines.append(lines)
    mails[0].broken = {1}
    result = await publisher.publish(Shipped("a", 1, lines))
    assert result.failed_projections == ("mails",)
    assert await letters(pool) == [("mails", "a", "Shipped", None, 1)]


async def test_event_that_nobody_can_read_is_kept_and_told_and_retried_once_its_class_is_mended(
    publisher: EventPublisher,
    sink: DeadLetterSink,
    pool: MeteredPool,
    mails: tuple[Mails, Mails],
    caplog: pytest.LogCaptureFixture,
) -> None:
    mails[0].broken = {"secret"}
    await publisher.publish(Shipped("a", "secret"))  # type: ignore[arg-type]  # as a bug would
    data = '{"aggregate_id":"a","number":"secret"}'
    assert await letters(pool) == [("mails", "a", "Shipped", data, 1)]
    [told] = [r for r in caplog.records if getattr(r, "event", "") == "sidecar.letters.unreadable"]
    assert "Shipped could be stored" in told.getMessage()
    assert "`$.number`" in told.getMessage()
    assert "secret" not in told.getMessage()
    mails[0].broken = set()
    await ask(pool)
    assert await sink.retry_due(publisher) == 0
    [reason] = await pool.fetch("SELECT error_message FROM sidecar.dead_letters")
    assert "cannot be read: Expected `int`, got `str` - at `$.number`" in reason[0]

    mended = EventTypes()

    @mended.register(name="Shipped")
    class MendedShipped(msgspec.Struct, frozen=True):
        aggregate_id: str
        number: int | str

    await ask(pool)
    assert await DeadLetterSink(pool, mended).retry_due(publisher) == 1
    assert mails[0].handled == [("a", "secret")]


async def test_publish_does_not_raise_when_failures_cannot_be_kept(
    private_cluster: Cluster, caplog: pytest.LogCaptureFixture, mails: tuple[Mails, Mails]
) -> None:
    async with session(private_cluster.dsn()) as connection:
        await migrate(connection)
    pool = MeteredPool(private_cluster.dsn(), name="app", min_size=1, max_size=2)
    async with pool:
        publisher = EventPublisher(types, sink=DeadLetterSink(pool, types))
        publisher.add_projection(mails[0])
        mails[0].broken = {1}
        private_cluster.stop()
        result = await publisher.publish(Shipped("a", 1))
        assert result.failed_projections == ("mails",)
        [told] = [r for r in caplog.records if getattr(r, "event", "") == "sidecar.letters.lost"]
        assert told.levelno == logging.CRITICAL
        assert told.exc_info is not None
        with pytest.raises(StoreUnavailableError):
            await DeadLetterSink(pool, types).retry_due(publisher)
        private_cluster.start()
        await publisher.publish(Shipped("a", 1))
        assert len(await letters(pool)) == 1
