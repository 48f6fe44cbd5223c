"""Verification beside a live copy that moves, fails, is swapped, emptied or changed."""

import asyncio
import random
from contextlib import suppress

import pytest

from sidecar.errors import UsageError
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.dead_letters.dead_letter import discard
from sidecar.postgres.verify import verification_store
from sidecar.postgres.verify.verification import cancel_verification
from sidecar.postgres.verify.verification_schedule import VerificationSchedule
from sidecar.postgres.verify.verification_store import VerificationStore
from sidecar.projections.projection import Partition
from tests.postgres import rebuilding, verifying
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage, session

ROUNDS = 5


async def give_up_some(stage: Stage, chance: random.Random) -> None:
    for letter in await stage.letters():
        if letter["category"] != "retry" and chance.random() < 0.5:
            async with session(stage.dsn) as connection:
                # The worker may have taken it up since it was listed, and resolved it.
                with suppress(UsageError):
                    await discard(connection, letter["id"], "a test order")


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_live_copy_that_moves_on_has_no_difference(database: str, partitions: int) -> None:
    async with open_stage(database, Totals(partitions=partitions)) as stage:
        await rebuilding.fill(stage, 2000, 200)
        number = 0

        async def place() -> None:
            nonlocal number
            number += 1
            await stage.place(f"s{number % 250}", number % 7)
            await asyncio.sleep(0.002)

        async with verifying.working(stage), rebuilding.meanwhile(place):
            await rebuilding.until_live(stage)
            for _ in range(ROUNDS):
                found = await verifying.verify(stage)
                assert (found.state, found.detail) == ("equal", None), found.report
        assert number > 0


@pytest.mark.parametrize("seed", range(3))
async def test_streams_that_are_parked_taken_up_or_given_up_are_no_difference(
    database: str, seed: int
) -> None:
    chance = random.Random(seed)
    totals = Totals(partitions=chance.choice([1, 3]))
    totals.broken = {"o3", "o5", "o7", "o11", "o13"}
    async with open_stage(database, totals) as stage:
        await rebuilding.fill(stage, 1000, 50)
        async with verifying.working(stage):
            await rebuilding.until_live(stage)
            for cured in ("o3", "o5", "o7"):
                totals.broken = {f"o{n}" for n in (5, 7, 11, 13)} - {cured}
                await verifying.start(stage)
                await asyncio.sleep(chance.random() / 4)
                if chance.random() < 0.7:
                    await stage.ask_retry()
                await give_up_some(stage, chance)
                await stage.place(f"s{chance.randrange(50)}", 1, 2)
                found = await verifying.until_ended(stage)
                # What fails in the replay alone cannot be verified; what was parked can.
                assert found.state == "equal" or "BrokenOrderError" in str(found.detail), found


async def test_a_parked_stream_is_compared_up_to_the_event_that_failed(database: str) -> None:
    totals = Totals()
    totals.broken = {"bad"}
    async with open_stage(database, totals) as stage:
        await stage.place("a", 1, 2)
        await stage.place("a", 1000, order="bad")
        await stage.place("a", 4)
        await stage.place("b", 5)
        async with verifying.working(stage):
            await rebuilding.until_live(stage)

            async def is_parked() -> bool:
                return [letter["category"] for letter in await stage.letters()] == ["apply"]

            await eventually(is_parked)
            found = await verifying.verify(stage)
            assert (found.state, found.report and found.report.rows) == ("equal", 2)
            await stage.pool.execute("UPDATE totals SET amount = 99 WHERE stream = 'a'")
            found = await verifying.verify(stage)
            assert found.report is not None
            assert [d.key for d in found.report.tables[0].differences] == [("a",)]


async def test_a_table_that_is_emptied_meanwhile_is_drift_and_no_error(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await rebuilding.fill(stage, 2000, 100)
        async with verifying.working(stage):
            await rebuilding.until_live(stage)
            await stage.pool.execute("TRUNCATE totals")
            found = await verifying.verify(stage)
        assert found.report is not None
        assert found.report.tables[0].counts == {"missing": 100}


async def test_a_swap_or_a_new_column_begins_it_again(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await rebuilding.fill(stage, 3000, 100)
        async with verifying.working(stage):
            await rebuilding.until_live(stage)
            await verifying.start(stage)
            await rebuilding.start(stage)
            await rebuilding.until_swapped(stage)
            await stage.pool.execute("ALTER TABLE totals ADD COLUMN note text DEFAULT 'none'")
            found = await verifying.until_ended(stage)
            assert (found.state, found.detail) == ("equal", None)


async def test_an_event_that_fails_in_the_replay_alone_ends_it_with_its_place(
    database: str,
) -> None:
    totals = Totals()
    async with open_stage(database, totals) as stage:
        await rebuilding.fill(stage, 20, 5)
        async with verifying.working(stage):
            await rebuilding.until_live(stage)
            totals.broken = {"o7"}
            found = await verifying.verify(stage)
        assert found.state == "failed"
        assert "BrokenOrderError at position 8" in str(found.detail)
        assert await rebuilding.read(stage) == await rebuilding.oracle(stage)


class Gated(Totals):
    """Stops before an event while its gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.is_at_gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        if not self.gate.is_set():
            self.is_at_gate.set()
            await self.gate.wait()
        await super().handle(event, connection, record)


async def until_waiting(stage: Stage) -> None:
    """Wait until a session of this database waits for a lock."""

    async def is_waiting() -> bool:
        waiting = (
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid())"
        )
        return bool(await stage.pool.fetchval(waiting))

    await eventually(is_waiting)


async def test_it_is_cancelled_and_leaves_nothing_behind(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await rebuilding.fill(stage, 20_000, 1000)
        async with verifying.working(stage):
            await rebuilding.until_live(stage)
            await verifying.start(stage)
            async with stage.pool.acquire() as connection:
                await cancel_verification(connection, "totals")
            assert (await verifying.find(stage)).state == "cancelled"

            async def is_gone() -> bool:
                exists = "SELECT to_regnamespace('sidecar_verify_totals') IS NULL"
                return bool(await stage.pool.fetchval(exists))

            await eventually(is_gone)
            found = await verifying.verify(stage)
            assert found.state == "equal"


async def test_to_cancel_it_waits_for_the_page_under_way_and_for_nothing_else(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    totals = Gated()
    async with open_stage(database, totals) as stage:
        await rebuilding.fill(stage, 20, 5)
        async with verifying.working(stage):
            await rebuilding.until_live(stage)
            totals.gate.clear()
            await verifying.start(stage)
            await totals.is_at_gate.wait()
            async with stage.pool.acquire() as connection:
                cancelling = asyncio.create_task(cancel_verification(connection, "totals"))
                await until_waiting(stage)
                totals.gate.set()
                await cancelling
        assert (await verifying.find(stage)).state == "cancelled"
    assert "Deadlock" not in caplog.text


@pytest.mark.parametrize("is_made", [False, True])
async def test_to_cancel_it_while_its_copy_is_made_or_found_leaves_nothing_behind(
    database: str, monkeypatch: pytest.MonkeyPatch, *, is_made: bool
) -> None:
    is_inside, go_on = asyncio.Event(), asyncio.Event()

    async def require_members(*_: object) -> None:
        is_inside.set()
        await go_on.wait()

    async with open_stage(database, Totals()) as stage:
        await rebuilding.fill(stage, 20, 5)
        await stage.catch_up()
        await verifying.start(stage)
        store = VerificationStore(stage.pool, stage.subscriptions["totals"])
        part = Partition("totals", copy="verify")
        if is_made:
            await store.read_checkpoint(part)
        monkeypatch.setattr(verification_store, "require_members", require_members)
        reading = asyncio.create_task(store.read_checkpoint(part))
        await is_inside.wait()
        async with stage.pool.acquire() as connection:
            cancelling = asyncio.create_task(cancel_verification(connection, "totals"))
            await until_waiting(stage)
            go_on.set()
            await asyncio.gather(reading, cancelling)
        exists = "SELECT to_regnamespace('sidecar_verify_totals') IS NOT NULL"
        assert not await stage.pool.fetchval(exists)


async def test_in_the_background_the_longest_unverified_one_comes_first_one_at_a_time(
    database: str,
) -> None:
    names = ("totals", "sums", "counts")
    async with open_stage(database, *map(Totals, names)) as stage:
        await rebuilding.fill(stage, 200, 10)
        schedule = VerificationSchedule(names, 0.5)
        async with verifying.working(stage):
            for name in names:
                await rebuilding.until_live(stage, name)
            asked = []
            for _ in names:
                asked.append(await schedule.ask(stage.pool))
                assert await schedule.ask(stage.pool) is None, "one is under way"
                assert (await verifying.until_ended(stage, str(asked[-1]))).state == "equal"
            assert sorted(map(str, asked)) == sorted(names)
            assert await schedule.ask(stage.pool) is None, "all were verified today"
            await stage.pool.execute(
                "UPDATE sidecar.verifications SET ended_at = now() - interval '2 days' "
                "WHERE projection = 'sums'"
            )
            assert await schedule.ask(stage.pool) == "sums"
