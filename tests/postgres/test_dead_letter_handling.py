"""Dead letters as people handle them: listed, looked at, given up, in any number."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.errors import UsageError
from sidecar.events.publisher import EventPublisher
from sidecar.postgres.dead_letters.dead_letter import (
    DeadLetterFilter,
    discard,
    list_dead_letters,
    list_unowned,
    request_retry,
    show_dead_letter,
)
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.samples.sample import take_sample
from sidecar.projections.retry import RetryPolicy
from sidecar.wiring.sink import DeadLetterSink
from tests.postgres.eventually import eventually
from tests.postgres.shop import BrokenOrderError, Journal, Placed, types
from tests.postgres.stage import Stage, open_stage

AT_ONCE = RetryPolicy(max_attempts=1)
STORM_LETTERS = 10_000


@pytest.fixture
def journals() -> tuple[Journal, Journal]:
    return Journal(), Journal("ledger")


@pytest.fixture
async def stage(database: str, journals: tuple[Journal, Journal]) -> AsyncIterator[Stage]:
    async with open_stage(database, *journals, policy=AT_ONCE) as stage:
        journals[0].broken = {"a", "b"}
        journals[1].broken = {"b"}
        for stream in ("a", "b", "c"):
            await stage.place(stream, 1, 2, 3)
        await stage.catch_up()
        yield stage


async def listed(stage: Stage, which: DeadLetterFilter) -> set[tuple[str, str]]:
    async with stage.pool.acquire() as connection:
        return {(row.projection, row.stream) for row in await list_dead_letters(connection, which)}


async def first(stage: Stage, projection: str = "journal", stream: str = "a") -> int:
    which = DeadLetterFilter(projection=projection, stream=stream)
    async with stage.pool.acquire() as connection:
        return (await list_dead_letters(connection, which))[0].id


async def give_up(stage: Stage, letter: int, reason: str) -> None:
    async with stage.pool.acquire() as connection:
        await discard(connection, letter, reason)


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (DeadLetterFilter(), {("journal", "a"), ("journal", "b"), ("ledger", "b")}),
        (DeadLetterFilter(projection="ledger"), {("ledger", "b")}),
        (DeadLetterFilter(stream="b"), {("journal", "b"), ("ledger", "b")}),
        (DeadLetterFilter(stream="b", projection="journal"), {("journal", "b")}),
        (DeadLetterFilter(error_type="BrokenOrderError", stream="a"), {("journal", "a")}),
        (DeadLetterFilter(error_type="ValueError"), set()),
        (DeadLetterFilter(older_than_seconds=3600), set()),
        (DeadLetterFilter(older_than_seconds=0, stream="a"), {("journal", "a")}),
    ],
)
async def test_list_shows_what_the_filter_lets_pass(
    stage: Stage, which: DeadLetterFilter, expected: set[tuple[str, str]]
) -> None:
    assert await listed(stage, which) == expected


async def test_list_shows_the_oldest_first_up_to_a_limit(stage: Stage) -> None:
    await stage.pool.execute(
        "UPDATE sidecar.dead_letters SET first_failed_at = now() - interval '1 day' WHERE "
        "projection = 'ledger'"
    )
    async with stage.pool.acquire() as connection:
        rows = await list_dead_letters(connection, DeadLetterFilter(), limit=2)
    assert [row.projection for row in rows] == ["ledger", "journal"]
    assert await listed(stage, DeadLetterFilter(older_than_seconds=3600)) == {("ledger", "b")}


async def test_show_tells_event_error_and_what_waits_behind(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        letter = await show_dead_letter(connection, await first(stage))
    assert (letter.projection, letter.stream, letter.position, letter.version) == (
        "journal",
        "a",
        1,
        1,
    )
    assert (letter.event_type, letter.category, letter.attempts) == ("Placed", "apply", 1)
    assert letter.data == '{"order":"a","amount":1}'
    assert letter.queued == 2
    assert letter.error_type == "BrokenOrderError"
    assert "raise BrokenOrderError(event.order)" in letter.traceback
    assert letter.first_failed_at.utcoffset() is not None


async def test_show_of_no_letter_is_a_usage_error(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        with pytest.raises(UsageError, match="There is no dead letter 4711"):
            await show_dead_letter(connection, 4711)


async def test_discard_keeps_the_reason_and_lets_the_queue_go_on(
    stage: Stage, journals: tuple[Journal, Journal]
) -> None:
    letter = await first(stage)
    await give_up(stage, letter, "  never paid  ")
    # Its stream stays parked until a worker has applied what waited, in order.
    await stage.place("a", 4)
    journals[0].broken = {"b"}
    stage.start()
    await stage.until_retried()
    await stage.settle()
    await stage.stop()
    lines = [line.version for line in await stage.lines() if line.stream == "a"]
    assert lines == [2, 3, 4]
    async with stage.pool.acquire() as connection:
        shown = await show_dead_letter(connection, letter)
    assert (shown.resolution, shown.reason) == ("discarded", "never paid")
    assert shown.resolved_at is not None
    assert shown.queued == 0
    assert ("journal", "a") not in await listed(stage, DeadLetterFilter())


async def test_discard_of_the_last_event_of_a_stream_leaves_nothing_behind(stage: Stage) -> None:
    await give_up(stage, await first(stage), "one")
    for _ in range(2):
        # The next of the queue took its place.
        await give_up(stage, await first(stage), "all")
    assert ("journal", "a") not in await listed(stage, DeadLetterFilter())
    await stage.place("a", 4, order="other")
    await stage.catch_up()
    assert [line.version for line in await stage.lines() if line.stream == "a"] == [4]


@pytest.mark.parametrize("reason", ["", "  "])
async def test_discard_without_a_reason_is_refused(stage: Stage, reason: str) -> None:
    letter = await first(stage)
    with pytest.raises(UsageError, match="--reason"):
        await give_up(stage, letter, reason)
    assert len(await stage.letters()) == 3


async def test_discard_of_what_is_resolved_is_refused(stage: Stage) -> None:
    letter = await first(stage)
    await give_up(stage, letter, "once")
    with pytest.raises(UsageError, match="was discarded already"):
        await give_up(stage, letter, "twice")
    with pytest.raises(UsageError, match="no dead letter 4711"):
        await give_up(stage, 4711, "never was")


async def test_event_that_waits_for_its_next_try_is_no_dead_letter_to_any_command(
    stage: Stage,
) -> None:
    letter = await first(stage)
    await stage.pool.execute(
        "UPDATE sidecar.dead_letters SET category = 'retry' WHERE id = $1", letter
    )
    with pytest.raises(UsageError, match="waits for its next try"):
        await give_up(stage, letter, "never listed")
    async with stage.pool.acquire() as connection:
        with pytest.raises(UsageError, match="waits for its next try"):
            await show_dead_letter(connection, letter)
        with pytest.raises(UsageError, match="waits for its next try"):
            await request_retry(connection, letter_id=letter)


async def test_event_that_waits_for_its_next_try_does_not_say_since_when_streams_are_parked(
    stage: Stage,
) -> None:
    waiting = await first(stage)
    await stage.pool.execute(
        "UPDATE sidecar.dead_letters SET category = 'retry', "
        "first_failed_at = first_failed_at - interval '1 hour' WHERE id = $1",
        waiting,
    )
    [dead] = [row for row in await stage.letters() if row["projection"] == "journal"][1:]
    async with stage.pool.acquire() as connection:
        sample = await take_sample(connection, SafeHeadFollower())
    [journal] = [each for each in sample.projections if each.name == "journal"]
    assert (journal.dead_letters, journal.parked_streams) == (1, 1)
    assert journal.oldest_letter_at == dead["first_failed_at"]
    failures = {failure.id for failure in sample.failures}
    assert dead["id"] in failures
    assert waiting not in failures


async def test_discard_is_refused_when_a_retry_moved_the_letter_to_a_later_event(
    stage: Stage,
) -> None:
    letter = await first(stage)
    await stage.ask_retry()
    partition, position = stage.partitions[0], await stage.checkpoint()
    async with stage.projection_store.begin(
        partition, position, eager=True, repeatable=True
    ) as work:
        discarding = asyncio.create_task(give_up(stage, letter, "bad"))

        async def waits() -> bool:
            query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            return bool(await stage.pool.fetchval(query))

        await eventually(waits)
        due = await work.take_due_dead_letter()
        assert due is not None
        assert due.id == letter
        records = await work.queued_events("a", 1, position, 3)
        await work.advance(due, records[2])
    with pytest.raises(UsageError, match=rf"{letter} now stands for another .* \(version 3\)"):
        await discarding
    [kept] = [row for row in await stage.letters() if row["id"] == letter]
    assert (kept["version"], kept["stream"]) == (3, "a")
    assert len(await stage.letters()) == 3
    await give_up(stage, letter, "bad as well")
    assert {row["stream"] for row in await stage.letters()} == {"b"}


async def test_pushed_letter_is_discarded_without_a_queue(stage: Stage) -> None:
    class Pushed:
        name = "pushed"

        def can_handle(self, event: object) -> bool:
            return True

        async def handle(self, event: Placed) -> None:
            raise BrokenOrderError(event.order)

    publisher = EventPublisher(types, sink=DeadLetterSink(stage.pool, types))
    publisher.add_projection(Pushed())
    await publisher.publish(Placed("x", 1))
    await publisher.publish(Placed("x", 2))
    letter = await first(stage, "pushed", "Placed")
    await give_up(stage, letter, "sent by hand")
    async with stage.pool.acquire() as connection:
        rows = await list_dead_letters(
            connection, DeadLetterFilter(projection="pushed", open_only=False)
        )
    assert [(row.resolution, row.reason) for row in rows] == [
        ("discarded", "sent by hand"),
        (None, None),
    ]


async def test_retry_tells_which_projections_no_worker_runs(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        asked = await request_retry(connection)
        assert await list_unowned(connection, asked) == ["journal", "ledger"]
        assert await list_unowned(connection, asked[:0]) == []


async def test_storm_of_dead_letters_is_counted_and_nothing_dropped(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "sidecar.projections.failure_log")
    journal = Journal()
    async with open_stage(database, journal, policy=AT_ONCE) as stage:
        await stage.pool.execute(
            "INSERT INTO sidecar.events (stream, version, type, data) "
            "SELECT 'order-' || n, v, 'Placed', json_build_object('order', 'bad', 'amount', v) "
            "FROM generate_series(1, 2) v, generate_series(1, $1::int) n",
            STORM_LETTERS,
        )
        journal.broken = {"bad"}
        stage.start()
        await stage.settle(within_seconds=60.0)
        await stage.stop()
        async with stage.pool.acquire() as connection:
            sample = await take_sample(connection, SafeHeadFollower())
            rows = await list_dead_letters(connection, DeadLetterFilter(), limit=2 * STORM_LETTERS)
            assert len(await list_dead_letters(connection, DeadLetterFilter())) == 1000
        assert sample.projections[0].dead_letters == STORM_LETTERS
        assert sample.projections[0].lag_events == 0
        assert len({row.stream for row in rows}) == len(rows) == STORM_LETTERS
        journal.broken.clear()
        async with stage.pool.acquire() as connection:
            for row in rows[:200]:
                await request_retry(connection, letter_id=row.id)
        stage.start()
        await stage.until_retried()
        await stage.stop()
        assert len(await stage.letters()) == STORM_LETTERS - 200
        lines = await stage.lines()
    assert len(lines) == len(set(lines)) == 400
    assert [line.version for line in lines if line.stream == rows[17].stream] == [1, 2]
