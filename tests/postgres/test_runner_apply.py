"""A loop that nothing disturbs: once each, in order, in partitions, paused and resumed."""

import asyncio
from collections import Counter

import pytest

from sidecar.errors import StoreUnavailableError
from sidecar.events.event_log import PAGE_EVENTS
from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.projections.ports import State
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal, Paid, Placed
from tests.postgres.stage import Stage, open_stage


async def fill(stage: Stage, streams: int, events: int) -> None:
    for number in range(streams):
        await stage.place(f"order-{number}", *range(events))


async def test_read_model_holds_each_event_once_over_many_pages(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await fill(stage, 7, PAGE_EVENTS // 2)
        await stage.catch_up()
        count = 7 * PAGE_EVENTS // 2
        assert [line.position for line in await stage.lines()] == list(range(1, count + 1))
        assert await stage.checkpoint() == count


async def test_loop_goes_on_where_its_checkpoint_stands(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await fill(stage, 3, 10)
        await stage.catch_up()
        await stage.place("order-9", 1, 2)
        await stage.catch_up()
        assert [line.position for line in await stage.lines()] == list(range(1, 33))


async def test_events_that_nobody_wants_are_passed_over(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.store.append("order-1", [Paid("1")])
        await stage.insert("order-1", "Unheard", '{"of": 1}')
        await stage.catch_up()
        await stage.place("order-1", 5)
        await stage.catch_up()
        assert [line.position for line in await stage.lines()] == [3]
        assert await stage.letters() == []


async def test_checkpoint_follows_over_events_that_nobody_wants(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.store.append("order-1", [Paid("1")] * 3)
        stage.start()
        await stage.advance()

        async def is_stored() -> bool:
            return await stage.checkpoint() == 3

        await eventually(is_stored)
        await stage.stop()


async def test_partitions_cover_all_streams_once(database: str) -> None:
    async with open_stage(database, Journal(partitions=4)) as stage:
        await fill(stage, 60, 5)
        await stage.catch_up()
        lines = await stage.lines()
        assert sorted(line.position for line in lines) == list(range(1, 301))
        for number in range(60):
            own = [line.version for line in lines if line.stream == f"order-{number}"]
            assert own == [1, 2, 3, 4, 5]
        applied = await stage.pool.fetchval("SELECT count(*) FROM sidecar.checkpoints")
        assert applied == 4


async def test_paused_projection_stands_still_until_it_is_resumed(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        async with stage.pool.acquire() as connection:
            await set_state(connection, "journal", State.PAUSED)
        stage.start()
        await stage.place("order-1", 1)
        head = await stage.advance()
        (runner,) = stage.runners

        async def has_beaten() -> bool:
            return runner.tally.heartbeat_at is not None

        await eventually(has_beaten)
        assert await stage.lines() == []
        async with stage.pool.acquire() as connection:
            await set_state(connection, "journal", State.RUNNING)
        await stage.settle()
        await stage.stop()
        assert await stage.checkpoint() == head


async def test_projection_paused_while_it_runs_applies_nothing_more(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        stage.start()
        await stage.place("order-1", 1)
        await stage.settle()
        async with stage.pool.acquire() as connection:
            await set_state(connection, "journal", State.PAUSED)
        await stage.place("order-1", 2)
        await stage.advance()
        (runner,) = stage.runners

        async def has_noticed() -> bool:
            return not runner._cursor.is_known

        await eventually(has_noticed)
        await stage.stop()
        assert len(await stage.lines()) == 1


async def test_event_of_16_megabytes_passes(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("small", 1)
        await stage.place("large", 1, order="x" * 16 * 1024 * 1024)
        await stage.place("small", 2)
        await stage.catch_up()
        assert [line.stream for line in await stage.lines()] == ["small", "large", "small"]


async def test_next_page_is_read_while_the_first_is_applied(database: str) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(event: Placed, connection: Connection) -> None:
        if event.amount == 0:
            entered.set()
            await leave.wait()

    async with open_stage(database, slow) as stage:
        await stage.place("order-1", *range(PAGE_EVENTS + 10))
        stage.start()
        await stage.advance()
        await entered.wait()
        ahead = stage.runners[0]._pages._ahead
        assert ahead is not None
        page = await asyncio.shield(ahead)
        assert (page.after, len(page.deliveries)) == (PAGE_EVENTS, 10)
        leave.set()
        await stage.settle()
        await stage.stop()


async def test_new_handler_hears_of_events_after_it_was_added_only(database: str) -> None:
    heard: list[int] = []

    async def mail(event: Placed, connection: Connection, record: RecordedEvent) -> None:
        heard.append(record.position)

    async with open_stage(database, Journal()) as stage:
        await stage.place("order-1", 1, 2)
    async with open_stage(database, Journal(), handlers=[mail]) as stage:
        await stage.place("order-1", 3)
        await stage.catch_up()
        assert Counter(heard) == {3: 1}
        assert len(await stage.lines()) == 3


async def test_new_handler_does_not_move_the_head_past_an_open_transaction(database: str) -> None:
    async def mail(event: Placed, connection: Connection) -> None:
        raise NotImplementedError

    async with open_stage(database, Journal()) as before, before.pool.acquire() as late:
        transaction = late.transaction()
        await transaction.start()
        await before.store.append("late", [Placed("late", 1)], connection=late)
        await before.place("order-1", 1)
        async with open_stage(database, Journal(), handlers=[mail]) as stage:
            assert await stage.checkpoint("mail") == 0
            await transaction.commit()
            assert await stage.advance() == 2


async def test_store_that_cannot_be_reached_says_why_without_the_address() -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        async with open_stage("postgresql://u:hunter2@127.0.0.1:1/x", Journal()):
            pass
    assert "hunter2" not in str(caught.value)
    assert "DATABASE_URL" in str(caught.value)
