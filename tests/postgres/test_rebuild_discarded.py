"""What a person gave up is never applied, whatever applies the log anew."""

import logging

import pytest

from sidecar.errors import UsageError
from sidecar.postgres.dead_letters.dead_letter import discard
from sidecar.postgres.rebuild.rebuild import replay_handler
from tests.postgres import rebuilding
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import BrokenOrderError, Placed
from tests.postgres.stage import Stage, open_stage, session


class Mails:
    """A handler that fails for one amount."""

    name = "mails"

    def __init__(self) -> None:
        self.heard: list[int] = []

    async def handle(self, event: Placed) -> None:
        if event.amount == 13:
            raise BrokenOrderError
        self.heard.append(event.amount)


async def give_up(stage: Stage) -> None:
    """Discard every open letter."""
    for letter in await stage.letters():
        async with session(stage.dsn) as connection:
            await discard(connection, letter["id"], "a test order")


@pytest.mark.parametrize("partitions", [1, 3])
async def test_a_rebuild_passes_over_discarded_events_and_counts_them(
    database: str, partitions: int, caplog: pytest.LogCaptureFixture
) -> None:
    totals = Totals(partitions=partitions)
    totals.broken = {"bad"}
    async with open_stage(database, totals) as stage:
        for number in range(6):
            await stage.place(f"s{number}", 1, 2)
        await stage.place("s1", 1000, order="bad")
        await stage.place("s1", 4)
        await stage.place("s5", 1000, order="bad")
        await stage.catch_up()
        await give_up(stage)
        await stage.retry()
        before = await rebuilding.read(stage)
        assert {stream: amount for stream, amount, _ in before}["s1"] == 7
        totals.broken = set()  # New code that would take it all the same.
        with caplog.at_level(logging.INFO):
            async with rebuilding.working(stage):
                await rebuilding.start(stage)
                # A partition that is a few events behind catches up after the swap.
                await rebuilding.until_swapped(stage)
                await rebuilding.until_live(stage)
        assert await rebuilding.read(stage) == before
        assert "2 discarded event(s) passed over" in caplog.text
        kept = "SELECT count(*) FROM sidecar.dead_letters WHERE resolution = 'discarded'"
        assert await stage.pool.fetchval(kept) == 2


async def test_a_rebuild_that_halted_goes_on_once_its_event_is_discarded(database: str) -> None:
    totals = Totals()
    totals.broken = {"bad"}
    async with open_stage(database, totals) as stage:
        await stage.place("a", 1, 2)
        await stage.place("a", 1000, order="bad")
        await stage.place("a", 4)
        async with rebuilding.working(stage):
            await rebuilding.until_live(stage)
            await rebuilding.start(stage)
            assert "BrokenOrderError at position 3" in await rebuilding.until_halted(stage)

            async def is_dead() -> bool:
                return [letter["category"] for letter in await stage.letters()] == ["apply"]

            # The live copy tries its event as often, and may be at its last try still.
            await eventually(is_dead)
            await give_up(stage)
            await rebuilding.start(stage)
            await rebuilding.until_swapped(stage)

            async def is_whole() -> bool:
                return await rebuilding.read(stage) == [("a", 7, 3)]

            await eventually(is_whole)


async def test_an_event_that_a_rebuild_has_applied_is_not_discarded_behind_its_back(
    database: str,
) -> None:
    totals = Totals()
    totals.broken = {"bad"}
    async with open_stage(database, totals) as stage:
        await stage.place("a", 1)
        await stage.place("a", 1000, order="bad")
        await stage.catch_up()
        totals.broken = set()
        async with rebuilding.working(stage), rebuilding.waiting_for_the_swap(stage, 2):
            with pytest.raises(UsageError, match="rebuild totals --cancel"):
                await give_up(stage)
            await rebuilding.cancel(stage)
            await give_up(stage)
            assert await stage.letters() == []


async def test_what_is_discarded_ahead_of_a_loop_is_passed_over_though_it_was_read(
    database: str,
) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.place("a", 1, 2, 4)
        await stage.advance()
        (partition,) = stage.partitions
        runner = stage.make_runner(partition)
        await runner._cursor.load()
        page = await runner._pages.take(0, runner._cursor.discarded)
        assert page is not None
        await stage.pool.execute(
            "INSERT INTO sidecar.dead_letters (projection, stream, position, version, event_id, "
            "event_type, category, error_type, error_message, traceback, attempts, resolution, "
            "resolved_at) SELECT 'totals', stream, position, version, id, type, 'apply', '', '', "
            "'', 1, 'discarded', now() FROM sidecar.events WHERE position = 2"
        )
        stage.start_runner(runner)
        await stage.settle()
        await stage.stop()
        assert await rebuilding.read(stage) == [("a", 5, 2)]


async def test_a_replay_of_effects_passes_over_what_was_discarded(database: str) -> None:
    mails = Mails()
    async with open_stage(database, handlers=[mails]) as stage:
        await stage.place("a", 1, 13, 2)
        await stage.catch_up()
        await give_up(stage)
        await stage.retry()
        mails.heard.clear()
        async with session(database) as connection:
            await replay_handler(connection, "mails")
        await stage.catch_up()
        assert mails.heard == [1, 2]
        assert await stage.letters() == []
