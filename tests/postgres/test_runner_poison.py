"""Events that cannot be applied: their streams are parked, everything else goes on."""

from typing import Final

from sidecar.events.record import RecordedEvent
from sidecar.projections.retry import RetryPolicy
from tests.postgres.shop import Journal, Mailer, Placed
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
        assert journal.calls == 3  # together, then twice alone


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
        assert mailer.heard == [1, 2, 3, 3, 4, 5]


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
