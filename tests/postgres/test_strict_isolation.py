"""A database that is stricter by default: who waits for others still sees what they did."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import asyncpg
import pytest

from sidecar.errors import CheckpointMovedError
from sidecar.events.record import RecordedEvent
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.dead_letters.dead_letter import DeadLetterFilter, discard, list_dead_letters
from sidecar.postgres.migration import load_migrations, migrate
from sidecar.postgres.query import sql
from sidecar.postgres.rebuild.rebuild import cancel_rebuild, start_rebuild, swap
from sidecar.projections.dead_letter import write_dead_letter
from sidecar.projections.ports import State
from sidecar.projections.projection import Partition
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import Journal, Placed
from tests.postgres.stage import Stage, fetchval, open_stage, session

INSERT = "INSERT INTO sidecar.events (stream, version, type, data) VALUES ($1, 1, 'Placed', '{}')"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def make_strict(dsn: str) -> None:
    async with session(dsn) as connection:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(
            f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"
        )


@pytest.fixture
async def database(database: str) -> str:
    await make_strict(database)
    return database


class Mails:
    """Hears of all that is placed from now on."""

    name = "mails"

    async def handle(self, event: Placed) -> None:
        pass


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with open_stage(database, Totals(), Journal()) as stage:
        yield stage


async def until_waiting(database: str, sessions: int = 1) -> None:
    """Wait until so many sessions wait for a lock."""

    async def are_waiting() -> bool:
        return int(await fetchval(database, WAITING)) >= sessions

    await eventually(are_waiting)


async def test_database_is_strict(stage: Stage) -> None:
    assert await stage.pool.fetchval("SHOW transaction_isolation") == "repeatable read"


async def test_gap_that_is_filled_while_a_handler_registers_is_not_recorded_as_dead(
    database: str,
) -> None:
    async with (
        session(database) as slow,
        session(database) as fast,
        session(database) as other,
    ):
        registering = other.transaction()
        await registering.start()
        await other.execute(sql("lock_registrations"))
        writing = slow.transaction()
        await writing.start()
        await slow.execute(INSERT, "slow")
        await fast.execute(INSERT, "fast")
        opening = asyncio.create_task(register_mails(database))
        await until_waiting(database)
        await writing.commit()
        await registering.commit()
        assert await opening == 2
        assert await fast.fetch("SELECT * FROM sidecar.skipped_positions") == []


async def register_mails(database: str) -> int:
    async with open_stage(database, handlers=[Mails()]) as stage:
        return await stage.checkpoint("mails")


async def test_of_two_processes_one_migrates(empty_database: str) -> None:
    await make_strict(empty_database)

    async def run() -> int:
        connection = await asyncpg.connect(empty_database)
        try:
            return len(await migrate(connection))
        finally:
            await connection.close()

    async with session(empty_database) as other:
        async with other.transaction():
            await other.execute(sql("lock_migrations"))
            migrating = asyncio.gather(run(), run())
            await until_waiting(empty_database, sessions=2)
        assert sorted(await migrating) == [0, len(load_migrations())]


@asynccontextmanager
async def batch(stage: Stage, copy: str = "live") -> AsyncIterator[None]:
    """Hold the totals' checkpoint for the length of the block, and move it."""
    partition = Partition("totals", copy=copy)
    async with stage.projection_store.begin(partition, 0, eager=False, repeatable=True) as work:
        yield
        await work.move(1)


async def test_second_owner_of_a_partition_is_told_that_the_checkpoint_moved(stage: Stage) -> None:
    async def begin() -> None:
        async with batch(stage):
            raise NotImplementedError

    async with batch(stage):
        second = asyncio.create_task(begin())
        await until_waiting(stage.dsn)
    with pytest.raises(CheckpointMovedError):
        await second


async def pause(stage: Stage) -> None:
    async with session(stage.dsn) as connection:
        assert await set_state(connection, "totals", State.PAUSED) == 1


async def start(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        await start_rebuild(connection, "totals")


async def cancel(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        await cancel_rebuild(connection, "totals")


async def swap_in(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        await connection.execute("UPDATE sidecar.previews SET report = '{}'")
        assert await swap(connection, "totals")


async def give_up(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        [letter] = await list_dead_letters(connection, DeadLetterFilter(projection="totals"))
        await discard(connection, letter.id, "test")


@pytest.mark.parametrize(
    ("action", "copy"),
    [(pause, "live"), (start, "live"), (swap_in, "live"), (cancel, "rebuild"), (give_up, "live")],
)
async def test_what_waits_for_a_batch_succeeds_after_it(
    stage: Stage, action: Callable[[Stage], Coroutine[None, None, None]], copy: str
) -> None:
    if action in {swap_in, cancel}:
        await start(stage)
    if action is give_up:
        await park(stage)
    async with batch(stage, copy):
        acting = asyncio.create_task(action(stage))
        await until_waiting(stage.dsn)
    await acting


async def park(stage: Stage) -> None:
    """Leave a dead letter of the totals, with the checkpoint where it was."""
    record = RecordedEvent(1, "order-1", 1, bytes(16), "Placed", 1, "{}", None, 0.0)
    async with stage.projection_store.begin(
        Partition("totals"), 0, eager=False, repeatable=True
    ) as work:
        await work.park(write_dead_letter(record, ValueError("no"), 1, None, str), None)


async def test_of_two_who_begin_a_rebuild_the_second_finds_the_first_ones(stage: Stage) -> None:
    async with stage.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM sidecar.checkpoints FOR UPDATE")
        starting = asyncio.gather(start(stage), start(stage))
        await until_waiting(stage.dsn, sessions=2)
    await starting
    rebuilds = "SELECT count(*) FROM sidecar.checkpoints WHERE copy = 'rebuild'"
    assert await stage.pool.fetchval(rebuilds) == 1
