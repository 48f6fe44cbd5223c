"""The same subscribers and events through `publish` and a worker: the same comes of both."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import asyncpg
import msgspec
import pytest

from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes
from sidecar.projections.retry import RetryPolicy
from sidecar.wiring.sink import DeadLetterSink
from tests.postgres.stage import SilentObserver, Stage, open_stage

ONCE: Final = RetryPolicy(max_attempts=1)
SECRET: Final = "hunter2-secret"

types = EventTypes()


class Said(msgspec.Struct, frozen=True):
    stream: str
    number: int


types.register()(Said)


class PanicError(BaseException):
    """What extension modules raise when they panic."""


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError


async def leak_cancellation() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    task.cancel()
    await task


async def time_out() -> None:
    async with asyncio.timeout(0):
        await asyncio.Event().wait()


async def fail_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(time_out())


def raising(error: BaseException) -> Callable[[], Any]:
    async def fail() -> None:
        raise error

    return fail


FAULTS: Final[dict[str, Callable[[], Any]]] = {
    "value": raising(ValueError(f"no {SECRET}")),
    "nul": raising(ValueError("a \0 here")),
    "unprintable": raising(UnprintableError()),
    "long": raising(ValueError("x" * 10_000)),
    "time-out": time_out,
    "cancelled": leak_cancellation,
    "exit": raising(SystemExit(3)),
    "closing": raising(GeneratorExit()),
    "panic": raising(PanicError("oh")),
    "group": fail_in_a_group,
    "many": raising(BaseExceptionGroup("many", [SystemExit(1)])),
    "nothing": lambda: None,
}


class Listening:
    """Fails for stream `bad`; counts the others."""

    handles = (Said,)

    def __init__(self, fault: Callable[[], Any]) -> None:
        self.name = "listening"
        self.fault = fault
        self.heard: list[tuple[str, int]] = []

    async def handle(self, event: Said) -> None:
        if event.stream == "bad":
            await self.fault()
        self.heard.append((event.stream, event.number))


class Writing(Listening):
    """The same with a connection."""

    async def handle(self, event: Said, connection: Connection) -> None:  # type: ignore[override]
        await super().handle(event)


EVENTS: Final = [Said("good", 1), Said("bad", 1), Said("good", 2), Said("other", 1)]
FIELDS: Final = "stream, event_type, schema_version, category, error_type, error_message, attempts"


async def kept(stage: Stage) -> list[tuple[Any, ...]]:
    rows = await stage.pool.fetch(
        f"SELECT projection, {FIELDS}, trace_id, resolution FROM sidecar.dead_letters ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def through_publish(
    stage: Stage, subscriber: Listening, transaction: Any = None
) -> Counter[str]:
    sink = DeadLetterSink(stage.pool, types, redact=hide)
    transaction = transaction or stage.pool.acquire
    publisher = EventPublisher(types, sink=sink, transaction=transaction)
    publisher.add_projection(subscriber)
    for event in EVENTS:
        await publisher.publish(event)
    return Counter(publisher.tally.projections["listening"].failures)


async def through_a_worker(stage: Stage) -> Counter[str]:
    for event in EVENTS:
        await stage.store.append(event.stream, [event])
    stage.start()
    (runner,) = stage.runners
    await stage.settle()
    await stage.stop()
    failures = runner.tally.failures
    return Counter({error_type: count for (error_type, _), count in failures.items()})


def hide(text: str) -> str:
    return text.replace(SECRET, "***")


@pytest.mark.parametrize("kind", [Listening, Writing])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failure_leaves_the_same_behind(
    database: str, fault: str, kind: type[Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SilentObserver, "redact", lambda _self, text: hide(text))
    published, followed = kind(FAULTS[fault]), kind(FAULTS[fault])
    async with open_stage(database, followed, types=types, policy=ONCE) as stage:
        in_process = await through_publish(stage, published)
        pushed = await kept(stage)
        await stage.pool.execute("DELETE FROM sidecar.dead_letters")
        in_worker = await through_a_worker(stage)
        parked = await kept(stage)
    assert pushed == parked
    assert len(parked) == 1
    assert in_process == in_worker
    assert followed.heard == published.heard == [("good", 1), ("good", 2), ("other", 1)]


class Swallowing(Listening):
    """Catches the error of a statement, after which PostgreSQL takes nothing of the transaction."""

    async def handle(self, event: Said, connection: Connection) -> None:  # type: ignore[override]
        await connection.execute("INSERT INTO said VALUES ($1)", event.stream)
        if event.stream == "bad":
            with contextlib.suppress(asyncpg.PostgresError):
                await connection.fetch("SELECT 1 / 0")
        self.heard.append((event.stream, event.number))


async def test_error_that_is_caught_loses_no_row_without_a_word(database: str) -> None:
    followed, published = Swallowing(lambda: None), Swallowing(lambda: None)
    async with open_stage(database, followed, types=types, policy=ONCE) as stage:
        await stage.pool.execute("CREATE TABLE said (stream text)")

        @contextlib.asynccontextmanager
        async def transact() -> AsyncIterator[Any]:
            async with stage.pool.acquire() as connection, connection.transaction():
                yield connection

        in_process = await through_publish(stage, published, transact)
        (pushed,) = await kept(stage)
        await stage.pool.execute("DELETE FROM sidecar.dead_letters")
        in_worker = await through_a_worker(stage)
        (parked,) = await kept(stage)
        rows = await stage.pool.fetch("SELECT stream, count(*) FROM said GROUP BY stream")
        # The session is as it was, for whoever has it next.
        async with transact() as connection:
            with contextlib.suppress(asyncpg.PostgresError):
                await connection.fetch("SELECT 1 / 0")
    assert in_process == in_worker == {"InFailedSQLTransactionError": 1}
    assert pushed[:5] == parked[:5]
    assert {tuple(row) for row in rows} == {("good", 4), ("other", 2)}
