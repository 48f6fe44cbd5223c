"""A log that comes back without its end is told with its size, and handlers wait for a person."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.checkpoints.acceptance import accept_position
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower, open_safe_head
from sidecar.postgres.log_memory.log_file import decode
from sidecar.postgres.log_memory.log_keeper import LogKeeper
from sidecar.postgres.log_memory.log_loss import accept_log, accept_loss, list_losses
from sidecar.postgres.migration import migrate
from sidecar.postgres.projection_store import PostgresProjectionStore
from sidecar.projections.observer import RunnerTally
from sidecar.projections.ports import State
from sidecar.projections.projection import Partition
from sidecar.projections.runner import Runner
from tests.postgres.cluster import Cluster
from tests.postgres.eventually import eventually
from tests.postgres.restoring import dump, load, restore, save, standby_of
from tests.postgres.shop import Journal, Mailer
from tests.postgres.stage import Stage, open_stage, session

BROKEN: Final = (
    StoreUnavailableError,
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.ReadOnlySQLTransactionError,
)


@asynccontextmanager
async def working(stage: Stage, directory: Path | None) -> AsyncIterator[LogKeeper]:
    """Run a worker that remembers the log."""
    log = LogKeeper(stage.dsn, directory)
    worker = stage.make_worker()
    store = PostgresProjectionStore(stage.pool, stage.handled, log)
    head = worker._head

    def make_runner(partition: Partition, tally: RunnerTally) -> Runner:
        return Runner(stage.make_context(partition, tally, head=head, store=store))

    worker._make_runner = make_runner
    worker._open_head = partial(open_safe_head, stage.dsn, application_name="head", log=log)
    task = asyncio.create_task(worker.run())
    try:
        yield log
    finally:
        worker.stop()
        await task
        await log.close()


async def place(stage: Stage, *amounts: int) -> None:
    """Append, on the server that is there by now."""

    async def is_placed() -> bool:
        with suppress(*BROKEN):
            await stage.place("order-1", *amounts)
            return True
        return False

    await eventually(is_placed, within_seconds=30)


async def until_applied(stage: Stage, count: int) -> None:
    async def is_applied() -> bool:
        with suppress(*BROKEN):
            return len(await stage.lines()) == count
        return False

    await eventually(is_applied, within_seconds=30)


async def until_heard(mailer: Mailer, *amounts: int) -> None:
    """Wait until it has heard of each, in this order; an outage may have it hear of one twice."""

    async def is_heard() -> bool:
        return list(dict.fromkeys(mailer.heard)) == list(amounts)

    await eventually(is_heard, within_seconds=30)


async def until_remembered(log: LogKeeper, position: int) -> None:
    async def is_remembered() -> bool:
        return log._last_position == position

    await eventually(is_remembered)
    await log.close()


async def until_held(stage: Stage) -> str:
    found: list[str] = []

    async def is_held() -> bool:
        with suppress(*BROKEN):
            query = "SELECT detail FROM sidecar.checkpoints WHERE block = 'lost'"
            found[:] = [row["detail"] for row in await stage.pool.fetch(query)]
        return bool(found)

    await eventually(is_held, within_seconds=30)
    return found[0]


@asynccontextmanager
async def at_work(
    cluster: Cluster, directory: Path | None
) -> AsyncIterator[tuple[Stage, Mailer, LogKeeper]]:
    """Open a shop on a server of one's own, with one read model and one handler."""
    async with session(cluster.dsn()) as connection:
        await migrate(connection)
    mailer = Mailer()
    async with (
        open_stage(cluster.dsn(tcp=True), Journal(), handlers=[mailer]) as stage,
        working(stage, directory) as log,
    ):
        yield stage, mailer, log


Lose = Callable[[Cluster, ExitStack], Callable[[], None]]


def by_directory(cluster: Cluster, _: ExitStack) -> Callable[[], None]:
    """Save the data directory; return what puts it back."""
    save(cluster)
    return partial(restore, cluster)


def by_promotion(cluster: Cluster, stack: ExitStack) -> Callable[[], None]:
    """Make a standby that hears of nothing more; return what has it take over."""
    standby = stack.enter_context(standby_of(cluster))

    def take_over() -> None:
        cluster.stop("immediate")
        standby.promote()

    return take_over


@pytest.mark.timeout(120)
@pytest.mark.parametrize("lose", [by_directory, by_promotion])
async def test_handlers_wait_on_a_log_that_lost_its_end_and_read_models_go_on(
    private_cluster: Cluster, tmp_path: Path, lose: Lose
) -> None:
    with ExitStack() as stack:
        async with at_work(private_cluster, tmp_path) as (stage, mailer, log):
            await place(stage, 1, 2, 3)
            await until_heard(mailer, 1, 2, 3)
            come_back = await asyncio.to_thread(lose, private_cluster, stack)
            await place(stage, 4, 5, 6, 7)
            await until_heard(mailer, 1, 2, 3, 4, 5, 6, 7)
            last = (await stage.store.read())[-1].position
            await until_remembered(log, last)
            await asyncio.to_thread(come_back)
            await place(stage, 40, 50)
            detail = await until_held(stage)
            await until_applied(stage, 5)
            assert set(mailer.heard) == {1, 2, 3, 4, 5, 6, 7}
            assert "Nothing is handled until `sidecar projections accept mailer" in detail
            async with session(stage.dsn) as connection:
                (loss,) = await list_losses(connection)
                assert (loss.common_position, loss.events, loss.is_exact) == (3, 4, True)
                assert (loss.first_position, loss.last_position) == (4, last)
                assert await accept_loss(connection, "mailer", "the four mails are known")
                assert await list_losses(connection) == ()
            await until_heard(mailer, 1, 2, 3, 4, 5, 6, 7, 40, 50)
            await place(stage, 60)
            await until_heard(mailer, 1, 2, 3, 4, 5, 6, 7, 40, 50, 60)


@pytest.mark.timeout(120)
async def test_a_process_that_was_killed_finds_the_loss_in_its_directory(
    private_cluster: Cluster, tmp_path: Path
) -> None:
    async with at_work(private_cluster, tmp_path) as (stage, mailer, log):
        await place(stage, 1)
        await until_heard(mailer, 1)
        await asyncio.to_thread(save, private_cluster)
        await place(stage, 2, 3)
        await until_heard(mailer, 1, 2, 3)
        await until_remembered(log, (await stage.store.read())[-1].position)
    # Whoever reads the file goes on where the process before has ended.
    await asyncio.to_thread(restore, private_cluster)
    async with at_work(private_cluster, tmp_path) as (stage, mailer, log):
        await place(stage, 20, 30, 40)
        await until_held(stage)
        await until_applied(stage, 4)
        assert mailer.heard == []
        async with session(stage.dsn) as connection:
            (loss,) = await list_losses(connection)
            assert (loss.common_position, loss.events) == (1, 2)
            # Another process, whose directory was not kept, has nothing to say.
            assert await LogKeeper(stage.dsn, tmp_path / "other").compare(connection) == ""
            assert await accept_log(connection, loss.first_event, "known") == ["mailer"]
            # One that remembers the same end finds a loss that is settled.
            assert await LogKeeper(stage.dsn, tmp_path).compare(connection) == ""
            assert await list_losses(connection) == ()
        await until_heard(mailer, 20, 30, 40)


async def remember(dsn: str, log: LogKeeper) -> None:
    """Have a process remember the log as it is."""
    async with session(dsn) as connection:
        assert await log.compare(connection) == ""
        log.recompare()
        await log.attend(connection, (await SafeHeadFollower().advance(connection)).position)
        await log.close()


def kept_in(directory: Path) -> int:
    """Return the last position that the file remembers."""
    (path,) = directory.glob("log-*.json")
    return decode(path.read_bytes()).memory.last_position


def make_old(directory: Path) -> None:
    """Have the file written long ago."""
    (path,) = directory.glob("log-*.json")
    os.utime(path, (0, 0))


def age_of(directory: Path) -> float:
    """Return how long ago the file was written, in seconds."""
    (path,) = directory.glob("log-*.json")
    return time.time() - path.stat().st_mtime


async def attend(log: LogKeeper, connection: RawConnection, head: int) -> None:
    """Attend at once, and wait until the file is as it is to be."""
    log.recompare()
    await log.attend(connection, head)
    assert log._places._writing is not None
    await asyncio.wait([log._places._writing])


async def test_the_end_of_a_burst_is_kept_once_its_turn_comes(
    database: str, tmp_path: Path
) -> None:
    log = LogKeeper(database, tmp_path)
    async with open_stage(database) as stage, session(database) as connection:
        for amount in (1, 2):
            await stage.place("order-1", amount)
            await attend(log, connection, amount)
        assert kept_in(tmp_path) == 1
        make_old(tmp_path)
        await attend(log, connection, 2)
        assert kept_in(tmp_path) == 2
        make_old(tmp_path)
        await attend(log, connection, 2)
        await log.close()
        assert age_of(tmp_path) > 1, "what is written already is written again"


async def test_whoever_ends_leaves_all_that_it_remembers(database: str, tmp_path: Path) -> None:
    log, other = LogKeeper(database, tmp_path), LogKeeper(database, tmp_path)
    async with open_stage(database) as stage:
        await stage.place("order-1", 1)
        await remember(database, log)
        await stage.place("order-1", 2)
        await remember(database, other)
    assert kept_in(tmp_path) == 2


def name_of(dsn: str) -> str:
    return dsn.partition("?")[0].rsplit("/", 1)[1]


@asynccontextmanager
async def copied(cluster: Cluster, text: str) -> AsyncIterator[str]:
    """Lend the DSN of a new database made of a dump."""
    async with cluster.database("template0") as dsn:
        await asyncio.to_thread(load, cluster, name_of(dsn), text)
        yield dsn


@pytest.mark.parametrize("lost", [0, 2])
async def test_a_dump_in_a_new_database_is_good_unless_it_lacks_the_end(
    cluster: Cluster, database: str, lost: int
) -> None:
    name = name_of(database)
    async with open_stage(database, Journal(), handlers=[Mailer()]) as stage:
        await stage.place("order-1", 1, 2, 3)
        text = await asyncio.to_thread(dump, cluster, name)
        if lost:
            await stage.place("order-1", *range(lost))
        log = LogKeeper("postgresql://db/shop")
        await remember(database, log)
    async with copied(cluster, text) as dsn, session(dsn) as connection:
        assert await log.compare(connection) == ""
        assert [loss.events for loss in await list_losses(connection)] == [lost] * bool(lost)
        held = "SELECT count(*) FROM sidecar.checkpoints WHERE block = 'lost'"
        assert await connection.fetchval(held) == bool(lost)


async def test_another_database_is_refused_until_somebody_means_it(
    cluster: Cluster, database: str, tmp_path: Path
) -> None:
    address = "postgresql://db/shop"
    async with open_stage(database) as stage:
        await stage.place("order-1", 1, 2, 3)
    log = LogKeeper(address, tmp_path)
    await remember(database, log)
    async with cluster.database("sidecar_template") as other, session(other) as connection:
        async with open_stage(other) as stage:
            await stage.place("order-1", 4, 5, 6)
        refusal = await log.compare(connection)
        assert "DATABASE_URL leads to another database" in refusal
        assert log.refusal == refusal
        assert log.server_key is None
        with pytest.raises(StoreUnavailableError, match="another database"):
            async with open_safe_head(other, application_name="head", log=log):
                pass
        # An address that was changed may lead elsewhere.
        moved = LogKeeper("postgresql://new/shop")
        moved._memory, moved._is_moved, moved._is_read = log._memory, True, True
        assert await moved.compare(connection) == ""
        token = refusal.split("--log ")[1].split()[0]
        await accept_log(connection, token, "the shop moved")
        assert await log.compare(connection) == ""
        assert log.refusal == ""


async def test_erased_events_are_no_lost_end(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = LogKeeper(database)
    async with open_stage(database, Journal(), handlers=[Mailer()]) as stage:
        await stage.place("order-1", 1, 2, 3, 4, 5)
        await stage.catch_up()
        for erased in ("= 2", "= 5", "< 3", "> 0"):
            await remember(database, log)
            await stage.pool.execute(f"DELETE FROM sidecar.events WHERE position {erased}")
            async with session(database) as connection:
                assert await log.compare(connection) == ""
                assert await list_losses(connection) == ()
        await stage.place("order-2", 6)
        await remember(database, log)
        assert log._last_position == 6
    assert "lost" not in caplog.text


async def test_a_sequence_that_was_set_back_is_told_by_itself(database: str) -> None:
    log = LogKeeper(database)
    async with open_stage(database, Journal(), handlers=[Mailer()]) as stage:
        await stage.place("order-1", 1, 2, 3)
        await stage.catch_up()
        await remember(database, log)
        await stage.pool.execute("TRUNCATE sidecar.events RESTART IDENTITY")
        await stage.place("order-1", 1)
        async with session(database) as connection:
            assert await log.compare(connection) == ""
            assert await list_losses(connection) == ()
            assert log.server_key is not None


LOSE_TWO = (
    "DELETE FROM sidecar.events WHERE position > 1; UPDATE sidecar.checkpoints SET position = 1;"
    "ALTER TABLE sidecar.events ALTER COLUMN position RESTART WITH 2"
)


async def test_a_paused_handler_stays_paused_and_positions_are_a_persons_choice(
    database: str,
) -> None:
    log = LogKeeper(database)
    other = Mailer()
    other.name = "labels"
    async with open_stage(database, handlers=[Mailer(), other]) as stage:
        await stage.place("order-1", 1, 2, 3)
        await stage.catch_up()
        await remember(database, log)
        async with session(database) as connection:
            await set_state(connection, "labels", State.PAUSED)
            await connection.execute(LOSE_TWO)
            await stage.place("order-1", 20, 30, 40)
            await log.compare(connection)
            await accept_position(connection, "mailer", 3, "as far as it was")
            assert len(await list_losses(connection)) == 1
            assert await accept_loss(connection, "labels", "known")
            assert await list_losses(connection) == ()
            rows = "SELECT position, state FROM sidecar.checkpoints ORDER BY projection"
            states = [tuple(row) for row in await connection.fetch(rows)]
            assert states == [(1, "paused"), (3, "running")]


async def test_a_second_loss_at_the_same_place_is_another_one(database: str) -> None:
    log = LogKeeper(database)
    async with open_stage(database, handlers=[Mailer()]) as stage, session(database) as connection:
        for amounts in ((1, 2, 3), (20, 30), (200, 300, 400)):
            await stage.place("order-1", *amounts)
            await stage.catch_up()
            await remember(database, log)
            await connection.execute(LOSE_TWO)
            await stage.place("order-9", 5)
            await log.compare(connection)
            (loss,) = await list_losses(connection)
            assert loss.common_position == 1
            await accept_log(connection, loss.first_event, "known")


async def test_no_handler_runs_on_a_server_whose_log_was_not_compared(database: str) -> None:
    mailer = Mailer()
    async with open_stage(database, Journal(), handlers=[mailer]) as stage:
        log = LogKeeper(database)
        store = PostgresProjectionStore(stage.pool, stage.handled, log)
        await stage.place("order-1", 1)
        await stage.advance()
        for partition in stage.partitions:
            stage.start_runner(Runner(stage.make_context(partition, store=store)))
        await until_applied(stage, 1)
        assert mailer.heard == []
        async with session(database) as connection:
            await log.compare(connection)
        await until_heard(mailer, 1)
        await stage.stop()
