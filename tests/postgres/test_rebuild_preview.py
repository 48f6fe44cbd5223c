"""A rebuild is compared with the live tables before its swap, and asks before rows vanish."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.rebuild.preview_store import read_verdict
from sidecar.postgres.rebuild.rebuild import start_rebuild
from sidecar.projections.comparison import Kind, Report
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.preview import describe_changes
from sidecar.projections.projection import Partition
from sidecar.projections.runner import Runner
from tests.postgres.rebuilding import (
    Totals,
    cancel,
    fill,
    meanwhile,
    oracle,
    read,
    rows_of,
    start,
    until_halted,
    until_live,
    until_swapped,
    working,
)
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage, session

EVENTS = 600


class Lines:
    """One row an event, in a table without a key."""

    name = "lines"
    handles = (Placed,)
    tables = ("Lines of all",)

    def __init__(self) -> None:
        self.tables = ('"Lines of all"',)

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            'CREATE TABLE IF NOT EXISTS "Lines of all" (stream text, amount bigint)'
        )

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        await connection.execute(
            'INSERT INTO "Lines of all" VALUES ($1, $2)', record.stream, event.amount
        )


@pytest.fixture(params=[1, 3], ids=["one-part", "three-parts"])
async def stage(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with open_stage(database, Totals(partitions=request.param)) as stage:
        await fill(stage, EVENTS, streams=10)
        yield stage


async def report_of(stage: Stage, projection: str = "totals") -> Report:
    async with stage.pool.acquire() as connection:
        report = (await read_verdict(connection, projection)).report
    assert report is not None
    return report


async def approve(stage: Stage, projection: str = "totals") -> None:
    async with stage.pool.acquire() as connection:
        await start_rebuild(connection, projection, is_approved=True)


async def test_rows_that_vanish_are_asked_about_and_the_live_copy_goes_on(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute("INSERT INTO totals VALUES ('by-hand', 7, 1), ('also', 8, 1)")
        await stage.pool.execute("UPDATE totals SET amount = -1 WHERE stream = 's3'")
        await stage.pool.execute("DELETE FROM totals WHERE stream = 's4'")
        await start(stage)
        detail = await until_halted(stage)
        assert detail == (
            "2 rows of totals would vanish; `sidecar projections rebuild totals --yes` swaps it, "
            "`--cancel` drops it"
        )
        assert ("by-hand", 7, 1) in await read(stage)
        await stage.place("s4", 5)
        await until_live(stage)
        assert list(describe_changes(await report_of(stage))) == [
            "totals: 1 added, 2 removed, 1 changed",
            "  removed: also; by-hand",
            "  changed: s3",
            "  added: s4",
        ]
        # Asking again without an approval ends in the same question.
        await start(stage)
        assert await until_halted(stage) == detail
        await approve(stage)
        await until_swapped(stage)
        await until_live(stage)
    assert await read(stage) == await oracle(stage)


async def test_what_was_approved_beforehand_is_swapped_and_told(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute("INSERT INTO totals VALUES ('by-hand', 7, 1)")
        await approve(stage)
        await until_swapped(stage)
        await until_live(stage)
    assert await read(stage) == await oracle(stage)
    assert (await report_of(stage)).tables[0].counts == {Kind.EXTRA: 1}


async def test_an_approval_holds_for_one_rebuild(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await approve(stage)
        await until_swapped(stage)
        await stage.pool.execute("INSERT INTO totals VALUES ('by-hand', 7, 1)")
        await start(stage)
        assert "1 row of totals would vanish" in await until_halted(stage)
        await cancel(stage)
        await start(stage)
        assert "1 row of totals would vanish" in await until_halted(stage)
        assert ("by-hand", 7, 1) in await read(stage)


@pytest.mark.parametrize("damage", ["TRUNCATE totals", "UPDATE totals SET amount = -amount"])
async def test_a_damaged_read_model_is_swapped_without_a_question(
    stage: Stage, damage: str
) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute(damage)
        await start(stage)
        await until_swapped(stage)
        await until_live(stage)
    assert await read(stage) == await oracle(stage)


async def test_under_load_nothing_seems_to_change(stage: Stage) -> None:
    placed = 0

    async def place() -> None:
        nonlocal placed
        placed += 1
        await stage.place(f"s{placed % 20}", 1)
        await asyncio.sleep(0)

    async with working(stage):
        await until_live(stage)
        async with meanwhile(place):
            for _ in range(3):
                await start(stage)
                await until_swapped(stage)
                assert (await report_of(stage)).tables[0].counts == {}
        await until_live(stage)
    assert await read(stage) == await oracle(stage)


async def test_a_paused_copy_is_compared_where_it_stands(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute("UPDATE sidecar.checkpoints SET state = 'paused'")
        await stage.place("new", 5)
        await start(stage)
        await until_swapped(stage)
        await stage.pool.execute("UPDATE sidecar.checkpoints SET state = 'running'")
        await until_live(stage)
    assert await read(stage) == await oracle(stage)
    assert (await report_of(stage)).tables[0].counts == {Kind.MISSING: 1}


async def test_a_log_that_lost_events_asks_before_rows_change(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute("DELETE FROM sidecar.events WHERE position <= 100")
        before = await read(stage)
        await start(stage)
        assert await until_halted(stage) == (
            "the log lost the events at positions 1 to 100, 10 rows of totals would be made "
            "without them; `sidecar projections rebuild totals --yes` swaps it, `--cancel` drops it"
        )
        assert await read(stage) == before
        await approve(stage)
        await until_swapped(stage)
        # What is gone is gone: the next one takes nothing more away.
        await until_live(stage)
        await start(stage)
        await until_swapped(stage)
        await until_live(stage)
    assert await read(stage) == await oracle(stage)


async def test_positions_that_never_held_an_event_are_not_lost(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        async with session(stage.dsn, "rolled back") as other:
            transaction = other.transaction()
            await transaction.start()
            await other.execute(
                "INSERT INTO sidecar.events (stream, version, type, data) "
                "SELECT 'gone', n, 'Placed', '{}' FROM generate_series(1, 5) n"
            )
            await transaction.rollback()
        await stage.place("s1", 5)
        await until_live(stage)
        await stage.pool.execute("UPDATE totals SET amount = 0")
        await start(stage)
        await until_swapped(stage)
    assert (await report_of(stage)).erased is None


async def test_a_table_without_a_key_counts_its_rows(database: str) -> None:
    async with open_stage(database, Lines()) as stage, working(stage):
        await fill(stage, 100, streams=3)
        await until_live(stage, "lines")
        await stage.pool.execute("INSERT INTO \"Lines of all\" VALUES ('s1', 1), ('x', NULL)")
        await start(stage, "lines")
        assert '2 rows of "Lines of all" would vanish' in await until_halted(stage, "lines")
        assert next(describe_changes(await report_of(stage, "lines"))) == (
            '"Lines of all": 2 removed'
        )
        await approve(stage, "lines")
        await until_swapped(stage, "lines")


async def test_columns_that_changed_meanwhile_halt_the_rebuild(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute("INSERT INTO totals VALUES ('by-hand', 7, 1)")
        await start(stage)
        await until_halted(stage)
        await stage.pool.execute("ALTER TABLE totals ADD COLUMN note text")
        await start(stage)
        assert "the columns of totals changed since it began" in await until_halted(stage)
        await cancel(stage)
        await approve(stage)
        await until_swapped(stage)
        await stage.pool.fetch("SELECT note FROM totals")


async def test_a_worker_that_died_before_it_could_halt_halts_after_all(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute("INSERT INTO totals VALUES ('by-hand', 7, 1)")
        await start(stage)
        detail = await until_halted(stage)
    await stage.pool.execute(
        "UPDATE sidecar.checkpoints SET state = 'running', detail = NULL WHERE copy = 'rebuild'"
    )
    async with working(stage):
        assert await until_halted(stage) == detail
    assert ("by-hand", 7, 1) in await read(stage)


@pytest.mark.parametrize("was_known", [False, True])
async def test_nobody_is_asked_before_it_is_known_where_the_log_ends(
    database: str, *, was_known: bool
) -> None:
    async with open_stage(database, Totals()) as stage:
        await fill(stage, 60, streams=10)
        await stage.catch_up()
        # As after `accept`, or a restore: rows are there, and the checkpoint says nothing of them.
        await stage.pool.execute("UPDATE sidecar.checkpoints SET position = 0")
        await start(stage)
        copy = Partition("totals", copy="rebuild")
        head = HeadSignal()
        if was_known:
            # As where the session that follows the head ended, and begins anew.
            head.advance(60)
            head.restart()
        runner = Runner(stage.make_context(copy, head=head))
        for _ in range(3):
            await runner._advance()
        assert [row["state"] for row in await rows_of(stage)] == ["running"]
        async with working(stage):
            await until_swapped(stage)
