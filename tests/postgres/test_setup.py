"""What keeps a subscriber from running, what passes by itself, and what its rows then say."""

import asyncio
from functools import partial

import asyncpg
import pytest

from sidecar.errors import ProjectionError, StoreUnavailableError
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints import projection_setup
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.lease import LeaseTable
from sidecar.projections.ports import State
from sidecar.projections.projection import Partition
from tests.postgres.eventually import eventually
from tests.postgres.setting_up import Broken, make_setups, names_of, row_of, set_up
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, fetchval, open_stage, session


class Mails:
    """A handler with a setup."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def setup(self, _connection: Connection) -> None:
        if self.error is not None:
            raise self.error

    async def handle(self, _event: object) -> None:
        pass


async def test_a_failure_is_told_and_ends_with_the_next_good_setup(database: str) -> None:
    broken = Broken()
    async with open_stage(database, broken, Journal()) as stage:
        broken.error = ZeroDivisionError("c4nary")
        assert await set_up(stage) == {"journal"}
        state, detail, _ = await row_of(stage, "broken")
        assert state == State.FAILED
        assert detail is not None
        assert "ZeroDivisionError" in detail
        assert "c4nary" not in detail
        assert (await row_of(stage, "journal"))[:2] == (State.RUNNING, None)
        broken.error = None
        assert await set_up(stage) == {"broken", "journal"}
        assert (await row_of(stage, "broken"))[:2] == (State.RUNNING, None)


async def test_what_is_paused_stays_paused(database: str) -> None:
    broken = Broken()
    async with open_stage(database, broken) as stage:
        async with session(database) as connection:
            await set_state(connection, "broken", State.PAUSED)
        for broken.error in (ZeroDivisionError(), None):
            await set_up(stage)
            assert (await row_of(stage, "broken"))[:2] == (State.PAUSED, None)


async def test_what_another_worker_runs_is_not_stopped(database: str) -> None:
    broken = Broken()
    async with open_stage(database, broken) as stage:
        async with session(database) as connection:
            table = stage.make_lease_table(connection)
            await table.join()
            await table.share()
            broken.error = ZeroDivisionError()
            assert await set_up(stage) == set()
            assert (await row_of(stage, "broken"))[:2] == (State.RUNNING, None)

        async def is_free() -> bool:
            locks = "SELECT count(*) FROM pg_locks WHERE classid = 7236174 AND database = ("
            count = f"{locks}SELECT oid FROM pg_database WHERE datname = current_database())"
            return bool(await fetchval(database, count) == 0)

        await eventually(is_free)
        await set_up(stage)
        assert (await row_of(stage, "broken"))[0] == State.FAILED


async def test_a_new_handler_misses_no_event_for_a_setup_that_fails_at_first(
    database: str,
) -> None:
    mails = Mails()
    async with open_stage(database) as plain:
        await plain.place("a", 1, 2)
        publisher = plain.publisher
        publisher.add_handler(mails)
        stage = Stage(database, plain.pool, publisher, plain.policy)
        mails.error = ZeroDivisionError()
        assert await set_up(stage) == set()
        await plain.place("a", 3)
        mails.error = None
        assert await set_up(stage) == {"Mails"}
        assert await row_of(stage, "Mails") == (State.RUNNING, None, 2)


async def test_partitions_that_stand_apart_are_left_to_a_person(database: str) -> None:
    async with open_stage(database, Journal(partitions=2)) as stage:
        await stage.pool.execute("UPDATE sidecar.checkpoints SET position = partition")
        publisher = type(stage.publisher)(stage.publisher.types)
        publisher.add_projection(Journal(partitions=3))
        publisher.add_projection(Broken())
        changed = Stage(database, stage.pool, publisher, stage.policy)
        assert await set_up(changed) == {"broken"}
        state, detail, _ = await row_of(changed, "journal")
        assert state == State.FAILED
        assert detail is not None
        assert "different positions" in detail
        with pytest.raises(ProjectionError):
            await changed.register()
        assert await set_up(stage) == {"journal"}
        assert (await row_of(stage, "journal"))[0] == State.RUNNING


@pytest.mark.parametrize(
    "error",
    [asyncpg.DeadlockDetectedError("deadlock"), StoreUnavailableError("no room")],
    ids=["deadlock", "store"],
)
async def test_what_passes_by_itself_is_no_failure(
    database: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken()
    async with open_stage(database, broken) as stage:
        broken.error, broken.recovers = error, True
        assert await set_up(stage) == {"broken"}
        assert (await row_of(stage, "broken"))[:2] == (State.RUNNING, None)
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"Waiting for the database: the setup of broken met {type(error).__name__}"]


async def test_a_slow_setup_holds_up_neither_migrations_nor_other_projections(
    database: str,
) -> None:
    class Slow(Journal):
        async def setup(self, connection: Connection) -> None:
            await super().setup(connection)
            async with session(database) as other:
                await other.execute("SET lock_timeout = '1s'")
                async with other.transaction():
                    await take_others_locks(other)

    async with open_stage(database, Journal()) as stage:
        slow = stage.publisher
        slow.add_projection(Slow("slow"))
        assert await set_up(Stage(database, stage.pool, slow, stage.policy)) == {
            "journal",
            "slow",
        }


class Gated(Journal):
    """Its setup waits for a gate, and is never run by two at a time."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.under_way = 0

    async def setup(self, connection: Connection) -> None:
        self.under_way += 1
        assert self.under_way == 1
        self.begun.set()
        await self.gate.wait()
        await super().setup(connection)
        self.under_way -= 1


async def test_a_setup_that_takes_long_holds_up_no_other_in_any_worker(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(projection_setup, "TURN_SECONDS", 0.3)
    gated = Gated("gated")
    async with open_stage(database) as plain:
        plain.publisher.add_projection(gated)
        plain.publisher.add_projection(Journal("quick"))
        plain.publisher.add_handler(print_event)
        stage = Stage(database, plain.pool, plain.publisher, plain.policy)
        workers = [make_setups(stage) for _ in range(2)]
        for each in workers:
            async with session(database) as connection:
                await each.register(connection)
            assert names_of(each) == {"print_event"}
        running = [asyncio.create_task(each.run()) for each in workers]
        try:

            async def are_others_ready() -> bool:
                return all(names_of(each) == {"print_event", "quick"} for each in workers)

            await eventually(are_others_ready)
            assert gated.begun.is_set()
            assert all(each.ages_seconds().keys() == {"gated"} for each in workers)
        finally:
            gated.gate.set()
            await asyncio.gather(*running)
        assert all("gated" in names_of(each) for each in workers)
        assert [each.ages_seconds() for each in workers] == [{}, {}]
    slow = [r for r in caplog.records if getattr(r, "event", "") == "sidecar.setup.slow"]
    assert {r.__dict__["projection"] for r in slow} == {"gated"}


async def print_event(_event: object) -> None:
    pass


async def test_a_setup_that_is_cut_short_leaves_nothing(database: str) -> None:
    gated = Gated("gated")
    async with open_stage(database) as plain:
        plain.publisher.add_projection(gated)
        stage = Stage(database, plain.pool, plain.publisher, plain.policy)
        setups = make_setups(stage)
        async with session(database) as connection:
            await setups.register(connection)
        running = asyncio.create_task(setups.run())
        await gated.begun.wait()
        running.cancel()
        await asyncio.wait((running,))
        assert running.cancelled()
        gated.under_way = 0
        gated.gate.set()
        assert await set_up(stage) == {"gated"}


async def test_worker_takes_up_what_joins_later_and_shares_it(database: str) -> None:
    async with open_stage(database, Journal(), Journal("late")) as stage:
        known = [[Partition("journal")], [Partition("journal")]]
        async with session(database) as one, session(database) as other:
            tables = [
                LeaseTable(connection, partial(list, each))
                for connection, each in zip((one, other), known, strict=True)
            ]
            for table in tables:
                await table.join()
            assert (await tables[0].share())[0] == {Partition("journal")}
            known[1].append(Partition("late"))
            assert (await tables[1].share())[0] == {Partition("late")}
            known[0].append(Partition("late"))
            for table in tables:
                assert await table.share() == (frozenset(), frozenset())
        assert stage.partitions == (Partition("journal"), Partition("late"))


async def take_others_locks(connection: RawConnection) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock(7236173, 0)")
    query = "SELECT FROM sidecar.checkpoints WHERE projection = 'journal' FOR UPDATE"
    assert len(await connection.fetch(query)) == 1


async def test_a_setup_that_raises_what_ends_a_task_stops_no_other(database: str) -> None:
    broken = Broken()
    async with open_stage(database, broken, Journal()) as stage:
        broken.error = asyncio.CancelledError()
        assert await set_up(stage) == {"journal"}
        assert (await row_of(stage, "broken"))[0] == "failed"
