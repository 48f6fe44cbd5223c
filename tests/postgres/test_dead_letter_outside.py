"""Parked streams of handlers and plain projections: effects outside are not repeated by a retry."""

import asyncio
from typing import Final

import asyncpg
import pytest

from sidecar.projections.projection import HANDLER_CHUNK_EVENTS, PLAIN_CHUNK_EVENTS
from sidecar.projections.retry import RetryPolicy
from tests.postgres.eventually import eventually
from tests.postgres.shop import BrokenOrderError, Placed
from tests.postgres.stage import Stage, open_stage

ONCE: Final = RetryPolicy(max_attempts=1)
EVENTS: Final = 250


class Mailer:
    """Sends a mail per event, which nothing takes back.

    Attributes:
        errors: What to raise, once each, by amount.
        stuck_at: The amount at which it never returns.
    """

    name = "mailer"

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.errors: dict[int, Exception] = {}
        self.stuck_at = 0
        self.stuck = asyncio.Event()

    def can_handle(self, event: object) -> bool:
        return isinstance(event, Placed)

    async def handle(self, event: Placed) -> None:
        if event.amount in self.errors:
            raise self.errors.pop(event.amount)
        if event.amount == self.stuck_at:
            self.stuck.set()
            await asyncio.Event().wait()
        self.sent.append(event.amount)


async def park(stage: Stage, mailer: Mailer, events: int) -> None:
    """Park a stream at its first event, with the others queued behind it, and ask for a retry."""
    mailer.errors[1] = BrokenOrderError("order-1")
    await stage.place("order-1", *range(1, events + 1))
    await stage.catch_up()
    assert mailer.sent == []
    await stage.ask_retry()


async def test_what_passes_by_itself_repeats_no_effect_of_the_events_before(database: str) -> None:
    mailer = Mailer()
    async with open_stage(database, mailer, policy=ONCE) as stage:
        await park(stage, mailer, 10)
        mailer.errors[5] = asyncpg.DeadlockDetectedError()
        stage.start()
        await stage.until_retried()
        tally = stage.runners[0].tally
        await stage.stop()
        assert mailer.sent == list(range(1, 11))
        assert tally.applied == 10
        assert tally.failures == {("DeadlockDetectedError", "retry"): 1}
        assert await stage.letters() == []


async def test_letter_that_went_on_counts_the_attempts_at_its_present_event(database: str) -> None:
    mailer = Mailer()
    async with open_stage(database, handlers=[mailer], policy=ONCE) as stage:
        # A new handler starts at the end of the log, which is empty here.
        await park(stage, mailer, 3)
        mailer.errors[2] = BrokenOrderError("order-1")
        stage.start()
        await stage.until_retried()
        await stage.stop()
        [letter] = await stage.letters()
        assert (letter["version"], letter["attempts"]) == (2, 1)


@pytest.mark.parametrize(
    ("is_handler", "repeated"), [(True, HANDLER_CHUNK_EVENTS), (False, PLAIN_CHUNK_EVENTS)]
)
async def test_crash_in_a_retry_repeats_no_more_than_one_in_the_loop(
    database: str, *, is_handler: bool, repeated: int
) -> None:
    mailer = Mailer()
    projections, handlers = ([], [mailer]) if is_handler else ([mailer], [])
    async with open_stage(database, *projections, handlers=handlers, policy=ONCE) as stage:
        await park(stage, mailer, EVENTS)
        mailer.stuck_at = EVENTS - 1
        stage.start()
        await mailer.stuck.wait()
        for task in stage.tasks:
            task.cancel()
        await asyncio.wait(stage.tasks)
        stage.tasks.clear()
        stage.runners.clear()
        mailer.stuck_at = 0
        stage.start()
        await stage.until_retried()
        await stage.stop()
        assert sorted(set(mailer.sent)) == list(range(1, EVENTS + 1))
        assert len(mailer.sent) - EVENTS < repeated


async def test_long_retry_of_a_handler_is_told_once(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sidecar.projections.failure_log")
    mailer = Mailer()
    async with open_stage(database, handlers=[mailer], policy=ONCE) as stage:
        await park(stage, mailer, 20)
        stage.start()
        await stage.until_retried()

        async def is_told() -> bool:
            return any("took up" in r.message for r in caplog.records)

        await eventually(is_told)
        await stage.stop()
    told = [r.message for r in caplog.records if "took up" in r.message]
    assert told == ["Projection mailer took up stream order-1 again: 20 event(s) applied"]
