"""Rebuilds that fail, are cancelled, lose their worker, or find the tables in use."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publish_result import Failure
from sidecar.events.subscriber import SubscriberKind
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.samples.sample import take_sample
from sidecar.projections.projection_status import Rebuild, Status
from sidecar.projections.retry import RetryPolicy
from sidecar.wiring.sink import DeadLetterSink
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import (
    TimedStore,
    Totals,
    cancel,
    fill,
    make_worker,
    meanwhile,
    oracle,
    read,
    rows_of,
    start,
    until_halted,
    until_live,
    until_swapped,
    waiting_for_the_swap,
    working,
)
from tests.postgres.shop import Placed, types
from tests.postgres.stage import Stage, open_stage, session

EVENTS = 3500
POISON = "o2500"


@pytest.fixture
def totals() -> Totals:
    return Totals()


@pytest.fixture
async def stage(database: str, totals: Totals) -> AsyncIterator[Stage]:
    policy = RetryPolicy(max_attempts=1)
    async with open_stage(database, totals, policy=policy) as stage:
        await fill(stage, EVENTS, streams=100)
        yield stage


async def test_error_stops_the_rebuild_and_leaves_the_live_copy(
    stage: Stage, totals: Totals, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(stage):
        await until_live(stage)
        before = await read(stage)
        totals.broken = {POISON}
        await start(stage)
        detail = await until_halted(stage)
        assert detail == "BrokenOrderError at position 2501 (Placed, s0)"
        assert await read(stage) == before == await oracle(stage)
        assert await stage.letters() == []
        async with stage.pool.acquire() as connection:
            sample = await take_sample(connection, SafeHeadFollower())
        [projection] = sample.projections
        assert projection.rebuild is Rebuild.HALTED
        assert projection.status is Status.CAUGHT_UP
        assert projection.detail == detail
        assert projection.progress is not None
        # Live goes on meanwhile.
        await stage.place("s1", 5)
        await until_live(stage)
        assert await read(stage) == await oracle(stage)
    [told] = [r for r in caplog.records if getattr(r, "event", "") == "sidecar.rebuild.halted"]
    assert told.levelname == "CRITICAL"
    assert detail in told.getMessage()


async def test_halted_rebuild_goes_on_where_it_stopped(stage: Stage, totals: Totals) -> None:
    async with working(stage):
        await until_live(stage)
        totals.broken = {POISON}
        await start(stage)
        await until_halted(stage)
        [row] = await rows_of(stage)
        assert 1000 <= row["position"] <= 2500
        table = "sidecar_new_totals.totals"
        filled = sum(events for _, _, events in await read(stage, table))
        assert filled == row["position"]
        # Were it to begin anew, these would be missed.
        await stage.pool.execute(f"UPDATE {table} SET amount = amount + 1000000")
        totals.broken = set()
        await start(stage)
        await until_swapped(stage)
    right = await oracle(stage)
    assert await read(stage) == [(s, amount + 1000000, events) for s, amount, events in right]


async def test_cancel_drops_the_new_copy_and_another_rebuild_begins_anew(
    stage: Stage, totals: Totals
) -> None:
    async with working(stage):
        await until_live(stage)
        totals.broken = {POISON}
        await start(stage)
        await until_halted(stage)
        await cancel(stage)
        assert await rows_of(stage) == []
        assert await stage.pool.fetchval("SELECT to_regnamespace('sidecar_new_totals')") is None
        with pytest.raises(ProjectionError, match="No rebuild of totals is under way"):
            await cancel(stage)
        totals.broken = set()
        await start(stage)
        await until_swapped(stage)
    assert await read(stage) == await oracle(stage)


async def test_parked_streams_are_taken_up_by_the_swap(stage: Stage, totals: Totals) -> None:
    totals.broken = {POISON, "o7"}
    async with working(stage):
        await until_live(stage)
        assert len(await stage.letters()) == 2
        totals.broken = set()
        await start(stage)
        await until_swapped(stage)
        await stage.place("s0", 5)
        await until_live(stage)
    assert await read(stage) == await oracle(stage)
    rows = await stage.pool.fetch("SELECT resolution, reason FROM sidecar.dead_letters")
    assert [tuple(row) for row in rows] == [("retried", "applied by a rebuild")] * 2


async def test_event_that_waited_for_its_next_try_when_a_rebuild_took_over_leaves_no_dead_letter(
    stage: Stage,
) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute(
            "INSERT INTO sidecar.dead_letters (projection, stream, position, version, event_id,"
            " event_type, category, error_type, error_message, traceback, attempts, retry_at)"
            " SELECT 'totals', stream, position, version, id, type, 'retry', 'KeyError', '', '',"
            " 1, 'infinity' FROM sidecar.events ORDER BY position DESC LIMIT 1"
        )
        await start(stage)
        await until_swapped(stage)
    assert await stage.pool.fetchval("SELECT count(*) FROM sidecar.dead_letters") == 0


async def test_swap_leaves_what_was_published_in_process_to_its_application(
    stage: Stage, totals: Totals
) -> None:
    failure = Failure(SubscriberKind.PROJECTION, "totals", ValueError("no"))
    await DeadLetterSink(stage.pool, types).keep(Placed("x", 1), [failure], None)
    totals.broken = {POISON}
    async with working(stage):
        await until_live(stage)
        totals.broken = set()
        await start(stage)
        await until_swapped(stage)
    [left] = await stage.letters()
    assert (left["position"], left["event_type"]) == (None, "Placed")


async def test_swap_does_not_lock_longer_for_ten_thousand_dead_letters(stage: Stage) -> None:
    projection_store = TimedStore(stage.pool)
    async with working(stage, projection_store):
        await until_live(stage)
        await stage.pool.execute(
            "INSERT INTO sidecar.dead_letters (projection, stream, position, version, event_id, "
            "event_type, category, error_type, error_message, traceback, attempts) "
            "SELECT 'totals', 'gone-' || n, n, 1, gen_random_uuid(), 'Placed', 'apply', 'E', '', "
            "repeat('x', 2000), 3 FROM generate_series(1, 10000) n"
        )
        await start(stage)
        await until_swapped(stage)
    assert await stage.letters() == []
    assert projection_store.locked_seconds < 0.1


async def test_partitioned_projection_is_rebuilt(database: str) -> None:
    async with open_stage(database, Totals(partitions=4)) as stage:
        await fill(stage, EVENTS, streams=100)
        async with working(stage):
            await until_live(stage)
            await stage.pool.execute("UPDATE totals SET amount = -1")
            await start(stage)
            assert len(await rows_of(stage)) == 4
            await until_swapped(stage)
            await stage.place("s1", 5)
            await until_live(stage)
        assert await read(stage) == await oracle(stage)


async def test_swap_steps_back_from_a_long_reader(stage: Stage) -> None:
    projection_store = TimedStore(stage.pool)

    async def append() -> None:
        await stage.place("s1", 5)
        await asyncio.sleep(0.002)

    async with working(stage, projection_store):
        await until_live(stage)
        async with session(stage.dsn, "report") as report, meanwhile(append):
            reading = report.transaction(isolation="repeatable_read")
            await reading.start()
            before = await report.fetchval("SELECT count(*) FROM totals")
            await start(stage)

            async def has_tried_often() -> bool:
                return projection_store.attempts >= 4

            loop = asyncio.get_running_loop()
            await eventually(has_tried_often)
            began, tried = loop.time(), projection_store.attempts
            await eventually(lambda: _later(projection_store, tried + 4))
            # However fast events come, it waits between its tries.
            assert loop.time() - began > 0.8
            assert await report.fetchval("SELECT count(*) FROM totals") == before
            assert len(await rows_of(stage)) == 1
            await reading.rollback()
            await until_swapped(stage)
        await until_live(stage)
    assert await read(stage) == await oracle(stage)


async def _later(projection_store: TimedStore, attempts: int) -> bool:
    return projection_store.attempts >= attempts


async def test_rebuild_survives_the_end_of_its_worker(stage: Stage) -> None:
    worker = make_worker(stage)
    task = asyncio.create_task(worker.run())
    await until_live(stage)
    async with waiting_for_the_swap(stage, EVENTS):
        task.cancel()
        await asyncio.wait([task])
    await stage.pool.execute("UPDATE sidecar_new_totals.totals SET amount = amount + 1000000")
    async with working(stage):
        await until_swapped(stage)
    right = await oracle(stage)
    assert await read(stage) == [(s, amount + 1000000, events) for s, amount, events in right]
