"""Tables that refer to each other: the copy does what their keys do, and no more."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.verify.stepper import open_stepper
from sidecar.projections.comparison import Report
from sidecar.projections.retry import RetryPolicy
from tests.postgres import rebuilding, verifying
from tests.postgres.shop import BrokenOrderError, Placed
from tests.postgres.stage import Stage, open_stage

CLOSE: Final = 3
"""An order with this amount goes, and what refers to it with it."""
RENAME: Final = 4


class Orders:
    """Keeps orders, which are renamed and closed, and what refers to them."""

    handles = (Placed,)
    name = "orders"
    tables = ('"Order"', "lines", "notes", "tree", "numbers", "numbered")

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            'CREATE TABLE IF NOT EXISTS "Order" ("of" text, "user" int,'
            '    PRIMARY KEY ("of", "user"));'
            'CREATE TABLE IF NOT EXISTS lines (old text, "new" int, line text PRIMARY KEY,'
            '    FOREIGN KEY (old, "new") REFERENCES "Order" ON DELETE CASCADE ON UPDATE CASCADE);'
            "CREATE TABLE IF NOT EXISTS notes (a text, b int DEFAULT -1, line text PRIMARY KEY,"
            '    FOREIGN KEY (a, b) REFERENCES "Order" ON DELETE SET NULL (b) ON UPDATE SET NULL);'
            "CREATE TABLE IF NOT EXISTS tree (k text PRIMARY KEY,"
            "    up text REFERENCES tree ON DELETE CASCADE);"
            "CREATE TABLE IF NOT EXISTS numbers (id serial PRIMARY KEY, k text NOT NULL UNIQUE);"
            "CREATE TABLE IF NOT EXISTS numbered (k text PRIMARY KEY, of int REFERENCES numbers)"
        )

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        if event.order == "bad":
            raise BrokenOrderError(event.order)
        of, line = event.order, f"{record.stream}-{record.version}"
        insert = "ON CONFLICT DO NOTHING"
        await connection.execute(f'INSERT INTO "Order" VALUES ($1, 1) {insert}', of)
        await connection.execute("INSERT INTO lines VALUES ($1, 1, $2)", of, line)
        await connection.execute("INSERT INTO notes VALUES ($1, 1, $2)", of, line)
        await connection.execute(f"INSERT INTO tree VALUES ($1, NULL) {insert}", of)
        await connection.execute("INSERT INTO tree VALUES ($1, $2)", line, of)
        await connection.execute(f"INSERT INTO numbers (k) VALUES ($1) {insert}", of)
        numbered = "INSERT INTO numbered SELECT $1, id FROM numbers WHERE k = $2"
        await connection.execute(numbered, line, of)
        if event.amount == CLOSE:
            await connection.execute('DELETE FROM "Order" WHERE "of" = $1', of)
            await connection.execute("DELETE FROM tree WHERE k = $1", of)
        elif event.amount == RENAME:
            await connection.execute('UPDATE "Order" SET "user" = 7 WHERE "of" = $1', of)


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    async with open_stage(database, Orders(), policy=RetryPolicy(max_attempts=1)) as stage:
        # So that each copy hands out other numbers.
        await stage.pool.execute("ALTER SEQUENCE numbers_id_seq RESTART 100")
        yield stage


async def verify(stage: Stage, *statements: str) -> Report:
    async with verifying.working(stage):
        await rebuilding.until_live(stage, "orders")
        for statement in statements:
            await stage.pool.execute(statement)
        found = await verifying.verify(stage, "orders")
    assert found.report is not None, found.detail
    return found.report


async def test_rows_go_and_change_with_those_that_they_refer_to(stage: Stage) -> None:
    for stream, last in (("closed", CLOSE), ("renamed", RENAME), ("kept", 1)):
        await stage.place(stream, 1, 2, last)
    report = await verify(stage, "DELETE FROM lines WHERE line = 'kept-1'")
    found = [(t.table, d.key, str(d.kind)) for t in report.tables for d in t.differences]
    assert found == [("lines", ("kept-1",), "missing")]
    assert await stage.pool.fetchval('SELECT count(*) FROM lines WHERE "new" = 7') == 3
    assert await stage.pool.fetchval("SELECT count(*) FROM notes WHERE b IS NULL") == 6


async def test_what_refers_to_a_number_that_each_copy_hands_out_anew_is_left_out(
    stage: Stage,
) -> None:
    await stage.place("a", 1, 2)
    report = await verify(stage)
    left_out = {table.table: table.left_out for table in report.tables if table.left_out}
    assert left_out == {
        "numbers": {"id": "its default gives each copy another value"},
        "numbered": {"of": "it refers to a column whose default gives each copy another value"},
    }
    assert report.drift_rows == 0


async def test_a_row_whose_parent_is_of_a_parked_stream_is_no_error(stage: Stage) -> None:
    await stage.place("parent", 1, order="one")
    await stage.place("child", 1, order="one")
    await stage.place("parent", 1, order="bad")
    assert (await verify(stage)).drift_rows == 0


async def test_a_step_shows_what_goes_with_a_row(stage: Stage) -> None:
    await stage.place("a", 1, CLOSE)
    async with stage.pool.acquire() as raw:
        subscription = stage.subscriptions["orders"]
        async with open_stepper(raw, subscription, stage.publisher.types) as stepper:
            _, last = [each async for each in stepper.steps("a", 1, None)]
    gone = {
        (change.table, change.before["line"])
        for change in last.changes
        if not change.after and change.before and "line" in change.before
    }
    assert gone == {("lines", "a-1")}
