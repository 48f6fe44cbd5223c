"""Dead letters taken up again: in order, up to the next failure, and across a crash."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest

from sidecar.events.types import EventTypes
from sidecar.postgres.dead_letters.dead_letter import (
    DeadLetterFilter,
    list_dead_letters,
    request_retry,
    show_dead_letter,
)
from sidecar.projections.dead_letter_retry import RETRY_EVENTS
from sidecar.projections.retry import RetryPolicy
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, open_stage

AT_ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture
def journals() -> tuple[Journal, Journal]:
    return Journal(), Journal("ledger")


@pytest.fixture
async def stage(database: str, journals: tuple[Journal, Journal]) -> AsyncIterator[Stage]:
    async with open_stage(database, *journals, policy=AT_ONCE) as stage:
        for journal in journals:
            journal.broken = {"a", "b"}
        for stream in ("a", "b", "c"):
            await stage.place(stream, 1, 2, 3)
        await stage.catch_up()
        for journal in journals:
            journal.broken.clear()
        yield stage


async def retry(
    stage: Stage,
    letter_id: int | None = None,
    *,
    projection: str | None = None,
    stream: str | None = None,
) -> list[int]:
    """Ask as the command does, and let the loops work."""
    async with stage.pool.acquire() as connection:
        asked = await request_retry(
            connection, letter_id=letter_id, projection=projection, stream=stream
        )
    stage.start()
    await stage.until_retried()
    await stage.stop()
    return asked


async def parked(stage: Stage) -> set[tuple[str, str]]:
    return {(letter["projection"], letter["stream"]) for letter in await stage.letters()}


async def letter_of(stage: Stage, projection: str, stream: str) -> int:
    async with stage.pool.acquire() as connection:
        [row] = await list_dead_letters(
            connection, DeadLetterFilter(projection=projection, stream=stream)
        )
    return row.id


async def versions(stage: Stage, stream: str, table: str = "journal") -> list[int]:
    return [line.version for line in await stage.lines(table) if line.stream == stream]


async def test_one_letter_is_retried(stage: Stage) -> None:
    letter = await letter_of(stage, "journal", "a")
    assert await retry(stage, letter) == [letter]
    assert await parked(stage) == {("journal", "b"), ("ledger", "a"), ("ledger", "b")}
    assert await versions(stage, "a") == [1, 2, 3]
    assert await versions(stage, "b") == []


async def test_one_stream_is_retried_for_every_projection(stage: Stage) -> None:
    assert len(await retry(stage, stream="b")) == 2
    assert await parked(stage) == {("journal", "a"), ("ledger", "a")}
    assert await versions(stage, "b", "ledger") == [1, 2, 3]


async def test_one_projection_is_retried(stage: Stage) -> None:
    assert len(await retry(stage, projection="ledger")) == 2
    assert await parked(stage) == {("journal", "a"), ("journal", "b")}


async def test_everything_is_retried(stage: Stage) -> None:
    assert len(await retry(stage)) == 4
    assert await parked(stage) == set()
    for table in ("journal", "ledger"):
        for stream in ("a", "b", "c"):
            assert await versions(stage, stream, table) == [1, 2, 3]


async def test_what_is_resolved_is_not_asked_for_again(stage: Stage) -> None:
    await retry(stage)
    assert await retry(stage) == []
    async with stage.pool.acquire() as connection:
        rows = await list_dead_letters(connection, DeadLetterFilter(open_only=False))
    assert [row.resolution for row in rows] == ["retried"] * 4
    assert all(row.resolved_at is not None and row.retry_at is None for row in rows)


async def test_stream_stops_at_its_first_failure_and_others_go_on(
    stage: Stage, journals: tuple[Journal, Journal]
) -> None:
    journals[0].broken = {"later"}
    await stage.place("a", 4, order="later")
    await stage.place("a", 5)
    await stage.catch_up()
    await retry(stage, projection="journal")
    assert await versions(stage, "a") == [1, 2, 3]
    assert await versions(stage, "b") == [1, 2, 3]
    async with stage.pool.acquire() as connection:
        letter = await show_dead_letter(connection, await letter_of(stage, "journal", "a"))
    assert (letter.version, letter.attempts, letter.queued) == (4, 1, 1)
    assert letter.error_message == "later"


async def test_long_stream_goes_on_where_a_crash_left_it(database: str) -> None:
    count = 2 * RETRY_EVENTS + 100
    journal = Journal()
    journal.broken = {"first"}
    async with open_stage(database, journal, policy=AT_ONCE) as stage:
        await stage.place("long", 0, order="first")
        await stage.place("long", *range(1, count))
        await stage.catch_up()
        journal.broken.clear()
        journal.calls = 0
        await stage.ask_retry()
        stage.start()

        async def is_in_the_second_part() -> bool:
            return journal.calls > RETRY_EVENTS + 50

        await eventually(is_in_the_second_part)
        for task in stage.tasks:
            task.cancel()
        await asyncio.wait(stage.tasks)
        stage.tasks.clear()
        stage.runners.clear()
        assert len(await stage.lines()) == RETRY_EVENTS
        [letter] = await stage.letters()
        assert letter["version"] == RETRY_EVENTS + 1
        assert letter["retry_at"] is not None
        # The second part alone is repeated, without being asked for again.
        await stage.place("long", count)
        journal.calls = 0
        stage.start()
        await stage.until_retried()
        await stage.settle()
        await stage.stop()
        assert journal.calls == count + 1 - RETRY_EVENTS
        assert await versions(stage, "long") == list(range(1, count + 2))


async def test_policy_retries_without_being_asked_and_waits_longer_each_time(
    database: str,
) -> None:
    journal = Journal()
    journal.broken = {"a"}
    policy = RetryPolicy(max_attempts=1, park_seconds=0.01)
    async with open_stage(database, journal, policy=policy) as stage:
        await stage.place("a", 1, 2)
        stage.start()
        await stage.settle()

        async def has_failed_again() -> bool:
            return [letter["attempts"] for letter in await stage.letters()] == [2]

        await eventually(has_failed_again)
        [letter] = await stage.letters()
        waits = (letter["retry_at"] - letter["last_failed_at"]).total_seconds()
        assert waits == pytest.approx(0.02, abs=0.005)
        journal.broken.clear()
        await stage.until_retried()
        await stage.stop()
        assert await versions(stage, "a") == [1, 2]


async def test_letter_of_an_old_schema_version_is_upcast_when_it_is_retried(database: str) -> None:
    types = EventTypes()

    @types.register(name="Placed", version=3)
    class Placed3(msgspec.Struct, frozen=True):
        order: str
        amount: int

    @types.upcast("Placed", from_version=1)
    def add_amount(shape: dict[str, object]) -> dict[str, object]:
        return {**shape, "amount": 7}

    @types.upcast("Placed", from_version=2)
    def rename_order(shape: dict[str, object]) -> dict[str, object]:
        return {"order": shape["id"], "amount": shape["amount"]}

    heard: list[object] = []

    class Strict:
        name = "strict"
        is_broken = True

        def can_handle(self, event: object) -> bool:
            return isinstance(event, Placed3)

        async def handle(self, event: Placed3, connection: object) -> None:
            if self.is_broken:
                raise ValueError(event.order)
            heard.append(event)

    strict = Strict()
    async with open_stage(database, strict, types=types, policy=AT_ONCE) as stage:
        await stage.insert("a", "Placed", '{"id": "x"}', schema_version=1)
        await stage.insert("a", "Placed", '{"id": "y", "amount": 1}', schema_version=2)
        await stage.catch_up()
        [letter] = await stage.letters()
        assert (letter["error_message"], letter["category"]) == ("x", "apply")
        strict.is_broken = False
        await retry(stage)
        assert heard == [Placed3("x", 7), Placed3("y", 1)]


async def test_retry_of_a_partitioned_projection_reaches_every_partition(database: str) -> None:
    journal = Journal(partitions=3)
    streams = [uuid.uuid5(uuid.NAMESPACE_OID, str(n)).hex for n in range(12)]
    journal.broken = set(streams)
    async with open_stage(database, journal, policy=AT_ONCE) as stage:
        for stream in streams:
            await stage.place(stream, 1, 2)
        await stage.catch_up()
        assert len(await parked(stage)) == 12
        journal.broken.clear()
        assert len(await retry(stage)) == 12
        assert sorted({line.stream for line in await stage.lines()}) == sorted(streams)
        assert len(await stage.lines()) == 24


async def test_retry_of_an_erased_event_says_so_and_keeps_nothing_of_it(stage: Stage) -> None:
    letter = await letter_of(stage, "journal", "a")
    await stage.pool.execute("DELETE FROM sidecar.events WHERE stream = 'a' AND version = 1")
    await stage.pool.execute("DELETE FROM sidecar.events WHERE stream = 'b'")
    await retry(stage, projection="journal")
    # What is left of the stream goes on.
    assert await versions(stage, "a") == [2, 3]
    assert await versions(stage, "b") == []
    assert await parked(stage) == {("ledger", "a"), ("ledger", "b")}
    rows = await stage.pool.fetch(
        "SELECT * FROM sidecar.dead_letters WHERE projection = 'journal' ORDER BY id"
    )
    assert [row["resolution"] for row in rows] == ["erased", "erased"]
    assert rows[0]["id"] == letter
    for row in rows:
        assert row["reason"] == "its event is no longer in the log"
        assert (row["error_message"], row["traceback"]) == ("", "")


@pytest.mark.parametrize("failed", [1, 3])
async def test_a_stream_that_begins_again_after_it_was_erased_is_applied_from_its_beginning(
    stage: Stage, failed: int
) -> None:
    letter = await letter_of(stage, "journal", "a")
    await stage.pool.execute(
        "UPDATE sidecar.dead_letters d SET version = e.version, position = e.position "
        "FROM sidecar.events e WHERE d.id = $1 AND e.stream = 'a' AND e.version = $2",
        letter,
        failed,
    )
    await stage.pool.execute("DELETE FROM sidecar.events WHERE stream = 'a'")
    await stage.place("a", 7, 8)
    await stage.catch_up()
    async with stage.pool.acquire() as connection:
        shown = await show_dead_letter(connection, letter)
    assert (shown.is_erased, shown.error_message, shown.traceback) == (True, "", "")
    await retry(stage, letter)
    assert await versions(stage, "a") == [1, 2]
    row = await stage.pool.fetchrow("SELECT * FROM sidecar.dead_letters WHERE id = $1", letter)
    assert row is not None
    assert (row["resolution"], row["error_message"], row["traceback"]) == ("erased", "", "")


async def test_a_dead_letter_that_goes_on_behind_an_erased_event_keeps_nothing_of_it(
    stage: Stage, journals: tuple[Journal, Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.projections.dead_letter_retry.BATCH_SECONDS", 0.0)
    letter = await letter_of(stage, "journal", "a")
    await stage.pool.execute("DELETE FROM sidecar.events WHERE stream = 'a' AND version = 1")
    kept: list[tuple[str, str]] = []
    query = "SELECT error_message, traceback FROM sidecar.dead_letters WHERE id = $1"

    async def look() -> bool:
        row = await stage.pool.fetchrow(query, letter)
        assert row is not None
        kept.append(tuple(row))
        return bool(await versions(stage, "a") == [2, 3])

    async with stage.pool.acquire() as connection:
        await request_retry(connection, letter_id=letter)
    stage.start()
    await eventually(look)
    await stage.until_retried()
    await stage.stop()
    assert await look()
    assert kept[-1] == ("", "")
