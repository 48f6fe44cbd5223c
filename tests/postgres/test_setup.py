"""What keeps a subscriber from running, what passes by itself, and what its rows then say."""

import asyncio

import asyncpg
import pytest

from sidecar.errors import ProjectionError, StoreUnavailableError
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoint import set_state
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.setup import set_up
from sidecar.projections.work import State
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, fetchval, open_stage, session


class Broken(Journal):
    """Its setup fails with whatever it is given."""

    def __init__(self, name: str = "broken", *, partitions: int = 1) -> None:
        super().__init__(name, partitions=partitions)
        self.error: BaseException | None = None

    async def setup(self, connection: Connection) -> None:
        await super().setup(connection)
        if self.error is not None:
            raise self.error


class Mails:
    """A handler with a setup."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def setup(self, _connection: Connection) -> None:
        if self.error is not None:
            raise self.error

    async def handle(self, _event: object) -> None:
        pass


async def prepare(stage: Stage) -> set[str]:
    async with session(stage.dsn) as connection:
        ready = await set_up(connection, stage.subscriptions.values())
    return {subscription.name for subscription in ready}


async def row_of(stage: Stage, name: str) -> tuple[str, str | None, int]:
    row = await stage.pool.fetchrow(
        "SELECT state, detail, position FROM sidecar.checkpoints WHERE projection = $1", name
    )
    assert row is not None
    return row["state"], row["detail"], row["position"]


async def test_a_failure_is_told_and_ends_with_the_next_good_setup(database: str) -> None:
    broken = Broken()
    async with open_stage(database, broken, Journal()) as stage:
        broken.error = ZeroDivisionError("c4nary")
        assert await prepare(stage) == {"journal"}
        state, detail, _ = await row_of(stage, "broken")
        assert state == State.FAILED
        assert detail is not None
        assert "ZeroDivisionError" in detail
        assert "c4nary" not in detail
        assert (await row_of(stage, "journal"))[:2] == (State.RUNNING, None)
        broken.error = None
        assert await prepare(stage) == {"broken", "journal"}
        assert (await row_of(stage, "broken"))[:2] == (State.RUNNING, None)


async def test_what_is_paused_stays_paused(database: str) -> None:
    broken = Broken()
    async with open_stage(database, broken) as stage:
        async with session(database) as connection:
            await set_state(connection, "broken", State.PAUSED)
        for broken.error in (ZeroDivisionError(), None):
            await prepare(stage)
            assert (await row_of(stage, "broken"))[:2] == (State.PAUSED, None)


async def test_what_another_worker_runs_is_not_stopped(database: str) -> None:
    broken = Broken()
    async with open_stage(database, broken) as stage:
        async with session(database) as connection:
            table = stage.make_lease_table(connection)
            await table.join()
            await table.share()
            broken.error = ZeroDivisionError()
            assert await prepare(stage) == set()
            assert (await row_of(stage, "broken"))[:2] == (State.RUNNING, None)

        async def is_free() -> bool:
            locks = "SELECT count(*) FROM pg_locks WHERE classid = 7236174 AND database = ("
            count = f"{locks}SELECT oid FROM pg_database WHERE datname = current_database())"
            return bool(await fetchval(database, count) == 0)

        await eventually(is_free)
        await prepare(stage)
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
        assert await prepare(stage) == set()
        await plain.place("a", 3)
        mails.error = None
        assert await prepare(stage) == {"Mails"}
        assert await row_of(stage, "Mails") == (State.RUNNING, None, 2)


async def test_partitions_that_stand_apart_are_left_to_a_person(database: str) -> None:
    async with open_stage(database, Journal(partitions=2)) as stage:
        await stage.pool.execute("UPDATE sidecar.checkpoints SET position = partition")
        publisher = type(stage.publisher)(stage.publisher.types)
        publisher.add_projection(Journal(partitions=3))
        publisher.add_projection(Broken())
        changed = Stage(database, stage.pool, publisher, stage.policy)
        assert await prepare(changed) == {"broken"}
        state, detail, _ = await row_of(changed, "journal")
        assert state == State.FAILED
        assert detail is not None
        assert "different positions" in detail
        with pytest.raises(ProjectionError):
            await changed.register()
        assert await prepare(stage) == {"journal"}
        assert (await row_of(stage, "journal"))[0] == State.RUNNING


@pytest.mark.parametrize(
    "error",
    [asyncpg.DeadlockDetectedError("deadlock"), StoreUnavailableError("no room")],
    ids=["deadlock", "store"],
)
async def test_what_passes_by_itself_is_no_failure(database: str, error: Exception) -> None:
    broken = Broken()
    async with open_stage(database, broken) as stage:
        broken.error = error
        with pytest.raises(StoreUnavailableError, match="broken"):
            await prepare(stage)
        assert (await row_of(stage, "broken"))[:2] == (State.RUNNING, None)


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
        assert await prepare(Stage(database, stage.pool, slow, stage.policy)) == {
            "journal",
            "slow",
        }


async def take_others_locks(connection: RawConnection) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock(7236173, 0)")
    query = "SELECT FROM sidecar.checkpoints WHERE projection = 'journal' FOR UPDATE"
    assert len(await connection.fetch(query)) == 1


async def test_a_setup_that_raises_what_ends_a_task_stops_no_other(database: str) -> None:
    broken = Broken()
    async with open_stage(database, broken, Journal()) as stage:
        broken.error = asyncio.CancelledError()
        assert await prepare(stage) == {"journal"}
        assert (await row_of(stage, "broken"))[0] == "failed"
