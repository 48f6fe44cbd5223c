"""`check_projection`: every classic mistake is found and named, and sound projections pass."""

import asyncio
import copy
import datetime as dt
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
import pytest
from typing_extensions import override

from sidecar import EventTypes, MeteredPool, RecordedEvent
from sidecar.errors import MissingRightsError, ProjectionError
from sidecar.testing import check_projection
from sidecar.testing.parting import find_changed
from tests.markdown import ROOT, blocks
from tests.postgres import mistakes
from tests.postgres.cluster import Cluster
from tests.postgres.eventually import eventually
from tests.postgres.mistakes import Sales, Sold
from tests.postgres.stage import fetchval, session

EVENTS: Final = [(stream, Sold(f"item {n}", n)) for n, stream in enumerate("abcab", 1)]
PAGE: Final = ROOT / "docs" / "testing.md"
LEFT: Final = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'sidecar\\_check%'"


async def check(dsn: str, projection: object, events: Any = EVENTS, **more: Any) -> Any:
    return await check_projection(projection, events, database=dsn, **more)


async def find(dsn: str, projection: object, events: Any = EVENTS) -> str:
    """Return what is said of a projection with a mistake."""
    with pytest.raises(AssertionError) as caught:
        await check(dsn, projection, events)
    assert await fetchval(dsn, LEFT) == 0
    return str(caught.value)


async def test_sound_projection_leaves_the_same_in_every_way_and_nothing_behind(
    empty_database: str,
) -> None:
    checked = await check(empty_database, Sales())
    assert checked.rows["sales"] == [
        {"stream": "c", "amount": 3},
        {"stream": "a", "amount": 5},
        {"stream": "b", "amount": 7},
    ]
    assert checked.dead_letters == []
    assert checked.ways > 20
    assert await fetchval(empty_database, LEFT) == 0
    assert await fetchval(empty_database, "SELECT to_regclass('sales')") is None


@pytest.mark.parametrize(
    ("make", "way", "named"),
    [
        (mistakes.ReadsStatus, "reads the status of a statement", "event 1 (Sold, version 1 of a)"),
        (mistakes.SwallowsStatus, "reads the status of a statement", "`eager = True`"),
        (mistakes.ReadsClock, "one by one once more", "a clock or of chance"),
        (mistakes.AsksServersClock, "one by one once more", "Such is at."),
        (mistakes.DrawsKeys, "one by one once more", "5 missing, 5 extra"),
        (mistakes.AddsUpInMemory, "its process is new for each event", "self.sums from {} to"),
        (mistakes.WritesInLots, "its process is new for each event", "They part at event 3"),
        (mistakes.SkipsWhatItSaw, "the read model is rebuilt", "self.last from 0 to 5"),
        (mistakes.CountsBatches, "its events share one transaction", "position=2: batch is 0"),
        (mistakes.KeepsTheLast, "fails once and is called again", "within a stream only"),
        (mistakes.RanksByArrival, "becomes a dead letter", "on rows of other streams"),
        (mistakes.SendsMail, "outside of its tables", "self.mailer.sent is ['item 1', "),
        (mistakes.DrawsNumbers, "the read model is rebuilt", "number is 6 instead of 1"),
        (mistakes.RunsTogether, "misuses its connection", "Two statements at a time"),
        (mistakes.ForgetsTable, "the read model is rebuilt", "add what is missing to `tables`"),
        (mistakes.MisspellsColumn, "applies none of the events", 'column "amout" of relation'),
    ],
)
async def test_mistake_is_found_and_named(
    empty_database: str, make: Callable[[], object], way: str, named: str
) -> None:
    told = await find(empty_database, make())
    assert way in told
    assert named in told


async def test_table_key_columns_and_first_event_are_named(empty_database: str) -> None:
    told = await find(empty_database, mistakes.AddsUpInMemory())
    assert "table sales: 2 rows differ (2 different)" in told
    assert 'different: stream="a": amount is 4 instead of 5' in told
    assert "They part at event 4 (Sold, version 2 of a)." in told


async def test_what_is_done_outside_of_the_connection_is_seen(
    empty_database: str, tmp_path: Path
) -> None:
    told = await find(empty_database, mistakes.ReadsOutside(empty_database))
    assert "opened a network connection, at event 1" in told
    async with asyncpg.create_pool(empty_database, min_size=1, max_size=1) as pool:
        told = await find(empty_database, mistakes.ReadsByPool(pool))
    assert "used another connection than the one it is given" in told
    assert "wrote a file" in await find(empty_database, mistakes.WritesFile(tmp_path / "mails"))


async def test_write_that_names_its_schema_leaves_the_table_there_alone(
    empty_database: str,
) -> None:
    async with session(empty_database) as connection:
        await connection.execute("CREATE TABLE sales (stream text PRIMARY KEY, amount bigint)")
    told = await find(empty_database, mistakes.WritesElsewhere())
    assert "the handler wrote to public.sales" in told
    assert await fetchval(empty_database, "SELECT count(*) FROM sales") == 0


class MadeElsewhere(Sales):
    @override
    async def setup(self, connection: Any) -> None:
        await connection.execute("CREATE TABLE public.sales (stream text)")


async def test_setup_that_names_a_schema_is_undone(empty_database: str) -> None:
    with pytest.raises(ProjectionError, match=r"made or changed public\.sales"):
        await check(empty_database, MadeElsewhere())
    assert await fetchval(empty_database, "SELECT to_regclass('public.sales')") is None


class WithoutSetup:
    """Its tables are made by the migrations of its service; names have to be quoted."""

    name = "without setup"
    tables = ('"Sales of a day"', "lines")
    partitions = 3
    handles = (Sold,)

    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        await connection.execute(
            'INSERT INTO "Sales of a day" AS s VALUES ($1, $2) ON CONFLICT ("The item")'
            " DO UPDATE SET amount = s.amount + excluded.amount",
            record.stream,
            event.amount,
        )
        async with connection.transaction():
            await connection.executemany(
                "INSERT INTO lines (item, position) VALUES ($1, $2)",
                [(event.item, record.position)],
            )


async def test_tables_of_the_database_partitions_and_quoted_names_are_taken(
    empty_database: str,
) -> None:
    async with session(empty_database) as connection:
        await connection.execute(
            'CREATE TABLE "Sales of a day" ("The item" text PRIMARY KEY, amount float8);'
            "CREATE TABLE lines (line bigserial, item text, position bigint);"
            "INSERT INTO lines (item) VALUES ('it stays')"
        )
    checked = await check(empty_database, WithoutSetup())
    sums = {row["The item"]: row["amount"] for row in checked.rows['"Sales of a day"']}
    assert sums == {"a": 5, "b": 7, "c": 3}
    assert len(checked.rows["lines"]) == 5
    assert "line" not in checked.rows["lines"][0]
    assert await fetchval(empty_database, "SELECT array_agg(item) FROM lines") == ["it stays"]


class Picky(Sales):
    """Fails for some events, by itself and by what its table refuses."""

    columns = "stream text PRIMARY KEY, amount bigint NOT NULL CHECK (amount < 100)"

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        if event.item == "bad":
            raise ValueError(event.item)
        await super().handle(event, connection, record)


async def test_events_that_fail_are_dead_letters_in_every_way(empty_database: str) -> None:
    amounts = [("a", 1), ("b", 200), ("a", 2), ("c", 3), ("b", 4), ("c", 5)]
    events = [(stream, Sold("bad" if n == 3 else "", n)) for stream, n in amounts]
    checked = await check(empty_database, Picky(), events)
    assert [letter.split(":")[:2] for letter in checked.dead_letters] == [
        ["2", " CheckViolationError"],
        ["4", " ValueError"],
    ]
    assert checked.rows["sales"] == [{"stream": "a", "amount": 3}]


class Deferring(Sales):
    """What it writes is checked at the end of the transaction; a trigger writes more."""

    tables = ("sales", "audit")
    key, unique = " PRIMARY KEY", "amount"

    @override
    async def setup(self, connection: Any) -> None:
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS sales (stream text{self.key}, amount bigint,"
            f" UNIQUE ({self.unique}) DEFERRABLE INITIALLY DEFERRED);"
            "CREATE TABLE IF NOT EXISTS audit (stream text)"
        )

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        await super().handle(event, connection, record)
        await connection.execute("INSERT INTO audit VALUES ($1)", record.stream)


class DeferringWithin(Deferring):
    """The same, of what one stream has alone."""

    key, unique = "", "stream, amount"

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        insert = "INSERT INTO sales VALUES ($1, $2)"
        await connection.execute(insert, record.stream, event.amount)
        await connection.execute("INSERT INTO audit VALUES ($1)", record.stream)


async def test_event_that_a_deferred_constraint_refuses_is_the_same_dead_letter(
    empty_database: str,
) -> None:
    amounts = [("a", 1), ("b", 1), ("a", 1), ("c", 2)]
    events = [(stream, Sold("", n)) for stream, n in amounts]
    checked = await check(empty_database, DeferringWithin(), events)
    assert [letter.split(":")[0] for letter in checked.dead_letters] == ["3"]
    assert len(checked.rows["audit"]) == 3


async def test_constraint_that_a_later_event_of_the_batch_satisfies_is_told(
    empty_database: str,
) -> None:
    amounts = [("a", 1), ("b", 1), ("a", 4)]
    told = await find(empty_database, Deferring(), [(s, Sold("", n)) for s, n in amounts])
    assert "its events share one transaction" in told


class Counting(Sales):
    calls = 0

    @override
    async def handle(self, event: Sold, connection: Any, record: RecordedEvent) -> None:
        self.calls += 1
        await super().handle(event, connection, record)


async def test_columns_and_attributes_can_be_left_out(empty_database: str) -> None:
    assert "self.calls is" in await find(empty_database, Counting())
    assert (await check(empty_database, Counting(), ignore=["calls"])).dead_letters == []
    checked = await check(empty_database, mistakes.ReadsClock(), ignore=["at"])
    assert checked.rows["sales"][0].keys() == {"stream", "amount"}


types: Final = EventTypes()


@types.register(name="sold", version=2)
class SoldNow(msgspec.Struct, frozen=True):
    item: str
    amount: int
    day: dt.date


@types.upcast("sold", from_version=1)
def _add_day(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "day": "2020-01-01"}


class Days:
    tables = ("days",)
    handles = (SoldNow,)

    async def setup(self, connection: Any) -> None:
        await connection.execute("CREATE TABLE IF NOT EXISTS days (day date, amount numeric)")

    async def handle(self, event: SoldNow, connection: Any) -> None:
        await connection.execute("INSERT INTO days VALUES ($1, $2)", event.day, event.amount)


async def test_old_shapes_go_through_their_upcasters(empty_database: str) -> None:
    old = RecordedEvent(7, "a", 9, bytes(16), "sold", 1, '{"item":"x","amount":3}', None, 0.0)
    now = SoldNow("y", 4, dt.date(2021, 2, 3))
    checked = await check(empty_database, Days(), [old, now], types=types)
    assert checked.rows["days"] == [
        {"day": "2020-01-01", "amount": 3},
        {"day": "2021-02-03", "amount": 4},
    ]


async def note(event: RecordedEvent, connection: Any) -> None:
    await connection.execute("INSERT INTO notes VALUES ($1)", event.data)


async def test_function_that_gets_records_is_checked_as_well(empty_database: str) -> None:
    async with session(empty_database) as connection:
        await connection.execute("CREATE TABLE notes (data text)")
    setattr(note, "tables", ("notes",))  # noqa: B010 - as a user writes `note.tables = ...`
    record = RecordedEvent(1, "a", 1, bytes(16), "any", 1, "{}", None, 0.0)
    checked = await check(empty_database, note, [record], types=EventTypes())
    assert checked.rows["notes"] == [{"data": "{}"}]


async def test_shown_test_passes(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = blocks("python", (PAGE,))
    shown: dict[str, Any] = {"__name__": "shown"}
    exec(block.text, shown)
    monkeypatch.setenv("TEST_DATABASE_URL", empty_database)
    await shown["test_balances"]()


class Outside:
    async def handle(self, event: Sold) -> None:
        """Have an effect elsewhere."""


async def test_what_cannot_be_checked_is_refused(empty_database: str) -> None:
    with pytest.raises(ProjectionError, match="takes no connection"):
        await check(empty_database, Outside())
    with pytest.raises(ProjectionError, match="no events"):
        await check(empty_database, Sales(), [])

    async def handle(event: Sold, connection: Any) -> None:
        """Write nothing."""

    with pytest.raises(ProjectionError, match="no tables that could be compared"):
        await check(empty_database, handle)


async def test_pool_shows_where_the_server_is(empty_database: str) -> None:
    async with MeteredPool(empty_database, min_size=0) as pool:
        assert (await check_projection(Sales(), EVENTS, database=pool)).dead_letters == []


async def test_role_that_may_make_no_schema_is_told_what_to_grant(
    empty_database: str, cluster: Cluster
) -> None:
    await cluster.execute("CREATE ROLE modest LOGIN")
    try:
        dsn = empty_database.replace("//postgres@", "//modest@")
        with pytest.raises(
            MissingRightsError, match=r"GRANT CREATE ON DATABASE test_\w+ TO modest"
        ):
            await check(dsn, Sales())
    finally:
        await cluster.execute("DROP ROLE modest")


async def test_two_checks_at_once_and_what_a_killed_one_left_do_not_meet(
    empty_database: str,
) -> None:
    async with session(empty_database) as connection:
        await connection.execute("CREATE SCHEMA sidecar_check_00000000")
        await connection.execute("CREATE SCHEMA sidecar_check_00000000_new")
    both = await asyncio.gather(*(check(empty_database, Sales()) for _ in range(2)))
    assert both[0].rows == both[1].rows
    assert logging.getLogger("sidecar").level == logging.NOTSET
    assert await fetchval(empty_database, LEFT) == 0


async def test_cancelled_check_leaves_nothing(empty_database: str) -> None:
    task = asyncio.create_task(check(empty_database, Sales(), EVENTS * 20))

    async def is_under_way() -> bool:
        return bool(await fetchval(empty_database, LEFT))

    await eventually(is_under_way)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await fetchval(empty_database, LEFT) == 0


async def test_given_object_stays_as_it_was(empty_database: str) -> None:
    counting = Counting()
    before = copy.deepcopy(counting)
    await check(empty_database, counting, ignore=["calls"])
    assert find_changed(before, counting) == {}


async def test_message_holds_nothing_that_a_terminal_obeys(empty_database: str) -> None:
    events = [("a\x1b[2J", Sold("", 1)), ("a\x1b[2J", Sold("", 2))]
    told = await find(empty_database, mistakes.AddsUpInMemory(), events)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", told)
