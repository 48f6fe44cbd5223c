"""Events that cannot be applied: their streams are parked, everything else goes on."""

from typing import Any, Final

import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.projection_transaction import PostgresTransaction
from sidecar.postgres.dead_letters.dead_letter import (
    DeadLetterFilter,
    list_dead_letters,
    request_retry,
)
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.samples.sample import take_sample
from sidecar.projections.retry import RetryPolicy
from tests.postgres.eventually import eventually
from tests.postgres.shop import BrokenOrderError, Journal, Mailer, Placed
from tests.postgres.stage import Stage, open_stage

ONCE: Final = RetryPolicy(max_attempts=1)


async def versions(stage: Stage, stream: str) -> list[int]:
    return [line.version for line in await stage.lines() if line.stream == stream]


async def test_poison_event_parks_its_stream_and_the_others_go_on(database: str) -> None:
    journal = Journal()
    journal.broken.add("bad")
    async with open_stage(database, journal, policy=ONCE) as stage:
        await stage.place("good", 1, 2)
        await stage.place("bad", 1, order="fine")
        await stage.place("bad", 2, order="bad")
        await stage.place("good", 3)
        await stage.place("bad", 3, order="fine")
        await stage.catch_up()
        assert await versions(stage, "good") == [1, 2, 3]
        assert await versions(stage, "bad") == [1]
        assert await stage.checkpoint() == 6
        (letter,) = await stage.letters()
        assert (letter["stream"], letter["version"], letter["position"]) == ("bad", 2, 4)
        assert (letter["category"], letter["error_type"]) == ("apply", "BrokenOrderError")
        assert "test_runner_poison" not in letter["error_message"]
        assert "BrokenOrderError: bad" in letter["traceback"]


@pytest.mark.parametrize("few", [0, 2, 3])
async def test_parked_streams_wait_however_many_there_are(
    database: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.postgres.checkpoints.projection_transaction.FEW_PARKED", few)
    journal = Journal()
    journal.broken.add("bad")
    async with open_stage(database, journal, policy=ONCE) as stage:
        for stream in ("a", "b", "c"):
            await stage.place(stream, 1, order="bad")
        await stage.catch_up()
        journal.broken.clear()
        for stream in ("b", "good", "c", "a"):
            await stage.place(stream, 2)
        await stage.catch_up()
        assert [line.stream for line in await stage.lines()] == ["good"]


async def test_retry_after_the_fix_brings_the_stream_in_order(database: str) -> None:
    journal = Journal()
    journal.broken.add("bad")
    async with open_stage(database, journal, policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.place("good", 1)
        await stage.place("bad", 2, 3)
        await stage.catch_up()
        assert await versions(stage, "bad") == []
        journal.broken.clear()
        await stage.place("bad", 4)
        await stage.retry()
        await stage.place("bad", 5)
        await stage.catch_up()
        assert await versions(stage, "bad") == [1, 2, 3, 4, 5]
        assert await versions(stage, "good") == [1]
        assert await stage.letters() == []
        resolution = "SELECT resolution FROM sidecar.dead_letters"
        assert await stage.pool.fetchval(resolution) == "retried"


async def test_second_failure_later_in_the_stream_keeps_it_parked_there(database: str) -> None:
    journal = Journal()
    journal.broken.update(("first", "second"))
    async with open_stage(database, journal, policy=ONCE) as stage:
        for order in ("first", "fine", "second", "fine"):
            await stage.place("bad", 1, order=order)
        await stage.catch_up()
        journal.broken.remove("first")
        await stage.retry()
        assert await versions(stage, "bad") == [1, 2]
        (letter,) = await stage.letters()
        assert (letter["version"], letter["attempts"]) == (3, 1)
        journal.broken.clear()
        await stage.retry()
        assert await versions(stage, "bad") == [1, 2, 3, 4]


async def test_retry_without_a_fix_counts_the_attempt_and_leaves_no_trace(database: str) -> None:
    journal = Journal()
    journal.broken.add("bad")
    async with open_stage(database, journal, policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.catch_up()
        await stage.retry()
        assert await stage.lines() == []
        (letter,) = await stage.letters()
        assert letter["attempts"] == 2
        assert letter["retry_at"] is None


async def test_parked_stream_is_tried_again_by_itself_when_the_policy_says_so(
    database: str,
) -> None:
    journal = Journal()
    journal.broken.add("bad")
    policy = RetryPolicy(max_attempts=1, park_seconds=0.05)
    async with open_stage(database, journal, policy=policy) as stage:
        await stage.place("bad", 1, 2)
        stage.start()
        await stage.settle()
        journal.broken.clear()
        await stage.until_retried()
        await stage.stop()
        assert await versions(stage, "bad") == [1, 2]


async def test_attempts_are_bounded(database: str) -> None:
    journal = Journal()
    journal.broken.add("bad")
    async with open_stage(database, journal, policy=RetryPolicy(max_attempts=2)) as stage:
        await stage.place("bad", 1)
        stage.start()
        await stage.settle()
        tally = stage.runners[0].tally
        await stage.stop()
        assert tally.failures == {("BrokenOrderError", "retry"): 1, ("BrokenOrderError", "park"): 1}
        (letter,) = await stage.letters()
        assert letter["attempts"] == 2
        assert journal.calls == 2


async def test_storm_of_poison_events_parks_them_without_waiting_for_each(database: str) -> None:
    journal = Journal()
    async with open_stage(
        database, journal, policy=RetryPolicy(max_attempts=2, max_streak=2)
    ) as stage:
        for number in range(40):
            order = "bad" if number % 10 else f"good-{number}"
            await stage.place(f"order-{number}", 1, order=order)
        for number in range(40, 140):
            await stage.place(f"order-{number}", 1, order="bad")
        journal.broken.add("bad")
        await stage.catch_up()
        assert len(await stage.letters()) == 136
        assert len(await stage.lines()) == 4
        journal.broken.clear()
        await stage.retry()
        assert len(await stage.lines()) == 140
        assert await stage.letters() == []


async def test_plain_handler_hears_of_earlier_events_once_when_a_later_one_fails(
    database: str,
) -> None:
    class Failing(Mailer):
        async def handle(self, event: Placed) -> None:
            await super().handle(event)
            if event.amount == 3:
                raise ConnectionRefusedError

    mailer = Failing()
    async with open_stage(database, mailer, policy=RetryPolicy(max_attempts=2)) as stage:
        for amount in range(1, 6):
            await stage.place(f"order-{amount}", amount)
        await stage.catch_up()
        assert mailer.heard == [1, 2, 3, 4, 5, 3]


async def test_failure_of_can_handle_parks_its_stream_only(database: str) -> None:
    class Picky(Journal):
        def can_handle(self, event: object) -> bool:
            if isinstance(event, Placed) and event.order == "bad":
                raise BufferError
            return super().can_handle(event)

    async with open_stage(database, Picky(), policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.place("good", 1)
        await stage.catch_up()
        assert await versions(stage, "good") == [1]
        assert [letter["error_type"] for letter in await stage.letters()] == ["BufferError"]


async def test_error_text_that_postgres_cannot_store_is_kept_in_a_storable_form(
    database: str,
) -> None:
    async def nasty(event: Placed, connection: object, record: RecordedEvent) -> None:
        raise ValueError("nul \0 inside")

    async with open_stage(database, nasty, policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.catch_up()
        (letter,) = await stage.letters()
        assert letter["error_message"] == "nul \\0 inside"


async def test_batch_goes_around_what_fails_and_nobody_else_waits_for_its_tries(
    database: str,
) -> None:
    journal = Journal()
    journal.broken.add("bad")
    # No retry is due before the test ends but by being asked for.
    async with open_stage(database, journal) as stage:
        for number in range(100):
            await stage.place(f"order-{number}", 1, order="bad" if number % 30 == 7 else "good")
        await stage.place("order-7", 2, order="good")
        stage.start()
        head = await stage.advance()

        async def has_caught_up() -> bool:
            stage.check_loops()
            return await stage.checkpoint() == head

        await eventually(has_caught_up)
        # Nothing was applied twice to find them.
        assert journal.calls < 100 + 4 * 3
        assert len(await stage.lines()) == 96
        assert await versions(stage, "order-7") == []
        await stage.settle()
        await stage.stop()
        assert [letter["attempts"] for letter in await stage.letters()] == [3] * 4
        journal.broken.clear()
        await stage.retry()
        assert await versions(stage, "order-7") == [1, 2]


async def test_event_that_passes_at_its_next_try_was_never_a_dead_letter(database: str) -> None:
    class Once(Journal):
        async def handle(
            self, event: Placed, connection: Connection, record: RecordedEvent
        ) -> None:
            await super().handle(event, connection, record)
            if self.calls == 1:
                raise BrokenOrderError

    async with open_stage(database, Once()) as stage:
        await stage.place("order-1", 1, 2)
        await stage.catch_up()
        assert await versions(stage, "order-1") == [1, 2]
        assert await stage.pool.fetchval("SELECT count(*) FROM sidecar.dead_letters") == 0


async def test_event_that_fails_for_good_in_a_retry_is_logged_before_its_dead_letter_is_committed(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal()
    journal.broken.add("bad")
    logged: list[list[str]] = []
    keep = PostgresTransaction.fail_again

    async def look_and_keep(self: PostgresTransaction, *failure: Any) -> None:
        actions = [vars(line).get("action") for line in caplog.records]
        logged.append([str(action) for action in actions if action])
        await keep(self, *failure)

    monkeypatch.setattr(PostgresTransaction, "fail_again", look_and_keep)
    async with open_stage(database, journal) as stage:
        await stage.place("order-1", 1, order="bad")
        await stage.catch_up()
        await stage.settle()
        assert len(await stage.letters()) == 1
    assert logged == [["retry", "retry"], ["retry", "retry", "park"]]


async def test_event_that_waits_for_its_next_try_is_told_nowhere_as_a_dead_letter(
    database: str,
) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", 1)
        await stage.pool.execute(
            "INSERT INTO sidecar.dead_letters (projection, stream, position, version, event_id,"
            " event_type, category, error_type, error_message, traceback, attempts, retry_at)"
            " SELECT 'journal', stream, position, version, id, type, 'retry', 'KeyError', '', '',"
            " 1, 'infinity' FROM sidecar.events"
        )
        async with stage.pool.acquire() as connection:
            assert await list_dead_letters(connection, DeadLetterFilter()) == []
            assert await request_retry(connection) == []
            sample = await take_sample(connection, SafeHeadFollower())
        assert (sample.failures, sample.projections[0].dead_letters) == ((), 0)
