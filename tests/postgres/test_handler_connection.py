"""All of asyncpg's connection is there for handlers: deferred and eager come to the same rows."""

import asyncio
import inspect
import io
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final

import asyncpg
import pytest
from asyncpg.cursor import Cursor
from asyncpg.pool import PoolConnectionProxy
from asyncpg.prepared_stmt import PreparedStatement
from asyncpg.transaction import Transaction

from sidecar.errors import ConnectionMisuseError, TransactionEndError
from sidecar.postgres.handler.handler_block import HandlerBlock
from sidecar.postgres.handler.handler_connection import ENDING, REFUSED, HandlerConnection
from sidecar.postgres.handler.handler_cursor import HandlerCursor
from sidecar.postgres.handler.handler_statement import HandlerStatement
from sidecar.projections.projection import Projection
from sidecar.projections.retry import RetryPolicy
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage, session

ONCE: Final = RetryPolicy(max_attempts=1)
OWN: Final = (
    "cursor", "execute", "executemany", "fetch", "fetchrow", "fetchval", "prepare", "transaction",
)  # fmt: skip


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_whatever_asyncpg_has_is_there_or_refused_with_a_cure() -> None:
    theirs = public(asyncpg.Connection) | public(PoolConnectionProxy)
    assert theirs <= public(HandlerConnection)
    assert public(PreparedStatement) == public(HandlerStatement)
    assert public(Cursor) == public(HandlerCursor)
    assert public(Transaction) == public(HandlerBlock)


@pytest.mark.parametrize("name", OWN)
def test_parameters_are_those_of_asyncpg(name: str) -> None:
    theirs = inspect.signature(getattr(asyncpg.Connection, name)).parameters
    ours = inspect.signature(getattr(HandlerConnection, name)).parameters
    assert {n: (p.kind, p.default) for n, p in theirs.items()} == {
        n: (p.kind, p.default) for n, p in ours.items()
    }


Handle = Callable[[Any, str, Placed], Awaitable[None]]


class Idiom(Projection):
    """Does for each event what a test hands it, on a table of its own."""

    handles = (Placed,)

    def __init__(self, name: str, handle: Handle, *, eager: bool) -> None:
        self.name = name  # type: ignore[misc]  # one of the test's own
        self.eager = eager  # type: ignore[misc]  # likewise
        self._handle = handle

    async def setup(self, connection: Any) -> None:
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.name} (line bigserial, k text, n numeric, j jsonb);"
            f"CREATE UNIQUE INDEX IF NOT EXISTS {self.name}_n ON {self.name} (n) WHERE k = 'one'"
        )

    async def handle(self, event: Placed, connection: Any) -> None:
        await self._handle(connection, self.name, event)


async def copies_records(c: Any, t: str, e: Placed) -> None:
    await c.execute(f"INSERT INTO {t} (k, n) VALUES ($1, $2)", "before", e.amount)
    records = ((f"copied {n}", n) for n in range(e.amount))
    assert await c.copy_records_to_table(t, records=records, columns=["k", "n"], timeout=5)
    await c.execute(f"UPDATE {t} SET n = n + 1 WHERE k = $1", f"copied {e.amount - 1}")


async def copies_text(c: Any, t: str, e: Placed) -> None:
    await c.execute(f"INSERT INTO {t} (k, n) VALUES ($1, $2)", "before", e.amount)
    found = io.BytesIO()
    await c.copy_from_query(f"SELECT k, n FROM {t} WHERE n = $1", e.amount, output=found)
    found.seek(0)
    await c.copy_to_table(t, source=found, columns=["k", "n"])
    whole = io.BytesIO()
    await c.copy_from_table(t, output=whole, columns=["k", "n"])
    await c.execute(f"INSERT INTO {t} (n) VALUES ($1)", len(whole.getvalue()))


async def stages_in_a_temporary_table(c: Any, t: str, e: Placed) -> None:
    await c.execute("CREATE TEMP TABLE stage (k text, n int) ON COMMIT DROP")
    await c.copy_records_to_table("stage", records=[(e.order, e.amount)] * 2)
    await c.execute(f"INSERT INTO {t} (k, n) SELECT k, sum(n) FROM stage GROUP BY k")


async def prepares(c: Any, t: str, e: Placed) -> None:
    statement = await c.prepare(f"INSERT INTO {t} (k, n) VALUES ($1, $2) RETURNING line")
    await c.execute(f"INSERT INTO {t} (k) VALUES ('first')")
    assert await statement.fetch(e.order, e.amount)
    await c.execute(f"INSERT INTO {t} (k) VALUES ('third')")
    assert statement.get_statusmsg() == "INSERT 0 1"
    await statement.executemany([(e.order, 7), (e.order, 8)])
    rows = await (await c.prepare(f"SELECT k FROM {t} WHERE n > $1")).fetch(6)
    await c.execute(f"INSERT INTO {t} (n) VALUES ($1)", len(rows))


async def reads_by_cursors(c: Any, t: str, e: Placed) -> None:
    await c.executemany(f"INSERT INTO {t} (k, n) VALUES ($1, $2)", ((e.order, n) for n in range(9)))
    async for row in c.cursor(f"SELECT k, n FROM {t} WHERE k = $1", e.order, prefetch=2):
        await c.execute(f"INSERT INTO {t} (k, n) VALUES ($1, $2)", "seen", row["n"])
    cursor = await c.cursor(f"SELECT count(*) AS n FROM {t} UNION ALL SELECT 1")
    first = await cursor.fetchrow()
    await c.execute(f"INSERT INTO {t} (k, n) VALUES ('cursor', $1)", first["n"])
    assert (await cursor.forward(5), await cursor.fetch(5)) == (1, [])
    statement = await c.prepare("SELECT generate_series(1, $1::int)")
    assert [r[0] async for r in statement.cursor(3)] == [1, 2, 3]


async def waits_at_most(c: Any, t: str, e: Placed) -> None:
    await c.execute(f"INSERT INTO {t} (k) VALUES ('first')")
    status = await c.execute(f"INSERT INTO {t} (k) VALUES ($1)", e.order, timeout=5)
    await c.executemany(f"INSERT INTO {t} (k) VALUES ($1)", [(status,)], timeout=5)
    count = await c.fetchval(f"SELECT 1, count(*) FROM {t}", column=1, timeout=5)
    [row] = await c.fetch("SELECT 1 AS one", record_class=asyncpg.Record)
    await c.fetchmany(f"INSERT INTO {t} (n) VALUES ($1) RETURNING n", ((n,) for n in (count, 1)))
    if e.amount == 2:
        with pytest.raises(TimeoutError):
            async with c.transaction():
                await c.execute("SELECT pg_sleep(60)", timeout=0.01)
    await c.execute(f"INSERT INTO {t} (n) VALUES ($1)", row["one"])


async def ends_blocks_by_hand(c: Any, t: str, e: Placed) -> None:
    outer = c.transaction(isolation="read_committed")
    await outer.start()
    await c.execute(f"INSERT INTO {t} (k, n) VALUES ('one', $1)", e.amount)
    inner = c.transaction()
    await inner.start()
    try:
        await c.execute(f"INSERT INTO {t} (k, n) VALUES ('one', $1)", e.amount)
        await c.fetch("SELECT 1")
    except asyncpg.UniqueViolationError:
        await inner.rollback()
    else:
        await inner.commit()
    await c.execute(f"INSERT INTO {t} (k) VALUES ('after')")
    await (outer.commit() if e.amount != 2 else outer.rollback())


async def sets_savepoints_in_sql(c: Any, t: str, e: Placed) -> None:
    await c.execute("SAVEPOINT mine")
    await c.execute(f"INSERT INTO {t} (k, n) VALUES ('mine', $1)", e.amount)
    if e.amount == 2:
        await c.execute("ROLLBACK TO SAVEPOINT mine")
    elif e.amount == 3:
        await c.execute("RELEASE SAVEPOINT mine")
    await c.execute(f"INSERT INTO {t} (k) VALUES ('after')")


async def catches_its_error_after_a_savepoint_in_sql(c: Any, t: str, _: Placed) -> None:
    await c.execute("SAVEPOINT mine")
    try:
        await c.execute(f"INSERT INTO {t} (k, n) VALUES ('one', $1)", 1)
    except asyncpg.UniqueViolationError:
        await c.execute("ROLLBACK TO SAVEPOINT mine")
        await c.execute(f"INSERT INTO {t} (k) VALUES ('twice')")


async def leaves_its_settings(c: Any, t: str, e: Placed) -> None:
    where = await c.fetchrow(
        "SELECT current_setting('search_path'), current_setting('TimeZone'),"
        " current_setting('app.who', true), current_user, current_setting('statement_timeout'),"
        " current_setting('session_replication_role')"
    )
    await c.execute(f"INSERT INTO {t} (k) VALUES ($1)", str(tuple(where)).replace("None", "''"))
    await c.execute("SET search_path TO pg_catalog, public")
    await c.execute("SET TIME ZONE 'Asia/Tokyo'; SET statement_timeout = '9s'")
    await c.fetchval("SELECT set_config('app.who', $1, false)", e.order)
    await c.execute("DO $$ BEGIN SET LOCAL session_replication_role = replica; END $$")
    await c.execute("SET ROLE pg_read_all_data")


async def leaves_things_in_the_session(c: Any, t: str, e: Placed) -> None:
    await c.execute(f"CREATE TEMP TABLE {t} (k text)")
    await c.execute(f"INSERT INTO {t} VALUES ('lost')")
    await c.execute("PREPARE mine AS SELECT 1")
    await c.execute("DECLARE mine CURSOR FOR SELECT 1")
    await c.execute("SELECT pg_advisory_lock($1)", e.amount)
    await c.execute("LISTEN mine")
    await c.execute("SELECT pg_notify('mine', 'x')")
    await c.execute(f"INSERT INTO public.{t} (k) VALUES ('kept')")


async def leaves_constraints_checked(c: Any, t: str, e: Placed) -> None:
    await c.execute(
        f"CREATE TABLE IF NOT EXISTS {t}_parent (k text PRIMARY KEY);"
        f"CREATE TABLE IF NOT EXISTS {t}_child"
        f" (k text REFERENCES {t}_parent DEFERRABLE INITIALLY DEFERRED)"
    )
    await c.execute(f"INSERT INTO {t}_child VALUES ($1)", e.order)
    await c.execute(f"INSERT INTO {t}_parent VALUES ($1) ON CONFLICT DO NOTHING", e.order)
    await c.execute("SET CONSTRAINTS ALL IMMEDIATE")
    await c.execute(f"INSERT INTO {t} (k) VALUES ($1)", e.order)


async def sets_a_codec(c: Any, t: str, e: Placed) -> None:
    await c.execute(f"INSERT INTO {t} (j) VALUES ($1)", json.dumps({"before": e.amount}))
    await c.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    document = {"n": e.amount}
    await c.execute(f"INSERT INTO {t} (j) VALUES ($1)", document)
    document["n"] = -1
    if e.amount == 2:
        await c.reset_type_codec("jsonb", schema="pg_catalog")
        await c.execute(f"INSERT INTO {t} (j) VALUES ('2')")
    if e.amount == 3:
        raise ValueError("after a codec was set")


async def mixes_raw_and_own(c: Any, t: str, e: Placed) -> None:
    raw = await c.raw()
    assert isinstance(raw, asyncpg.Connection)
    await c.execute(f"INSERT INTO {t} (k) VALUES ('own')")
    await raw.execute(f"INSERT INTO {t} (k) VALUES ('raw')")
    async with raw.transaction():
        await raw.execute("SET LOCAL search_path TO pg_catalog")
        await raw.copy_records_to_table(
            t, schema_name="public", records=[(e.order,)], columns=["k"]
        )
    await c.execute(f"INSERT INTO public.{t} (k) VALUES ('last')")


async def changes_its_parameters(c: Any, t: str, e: Placed) -> None:
    insert = f"INSERT INTO {t} (k, n) SELECT v, $2 FROM unnest($1::text[]) v"
    values, buffer = [e.order, "x"], bytearray(b"abc")
    view = memoryview(buffer)
    for number in range(3):
        values[1] = str(number)
        await c.execute(insert, values, Decimal(number) / 3)
        buffer[0] = 100 + number
        await c.execute(f"INSERT INTO {t} (k) VALUES (encode($1, 'hex'))", view)
    values.clear()
    view.release()


async def asks_what_is_harmless(c: Any, t: str, _: Placed) -> None:
    assert c.is_in_transaction()
    assert not c.is_closed()
    assert c.get_server_version().major >= 14
    assert c.get_server_pid()
    assert c.get_settings().client_encoding
    assert c.get_reset_query()
    await c.reload_schema_state()
    await c.execute(f"INSERT INTO {t} (n) VALUES ($1)", 1)


async def makes_a_type_and_uses_it(c: Any, t: str, e: Placed) -> None:
    await c.execute(f"CREATE TYPE {t}_{e.order} AS ENUM ('a', 'b')")
    await c.execute(f"ALTER TABLE {t} ADD COLUMN {e.order} {t}_{e.order}")
    await c.execute(f"INSERT INTO {t} (k, {e.order}) VALUES ($1, $2)", e.order, "b")
    await c.execute(f"DROP TYPE {t}_{e.order} CASCADE")


IDIOMS: Final = (
    copies_records, copies_text, stages_in_a_temporary_table, prepares, reads_by_cursors,
    waits_at_most, ends_blocks_by_hand, sets_savepoints_in_sql,
    catches_its_error_after_a_savepoint_in_sql, leaves_its_settings, leaves_things_in_the_session,
    leaves_constraints_checked, sets_a_codec, mixes_raw_and_own, changes_its_parameters,
    asks_what_is_harmless, makes_a_type_and_uses_it,
)  # fmt: skip


async def read_rows(stage: Stage, table: str) -> list[dict[str, Any]]:
    rows = await stage.pool.fetch(f"SELECT k, n, j FROM {table} ORDER BY line")
    return [dict(row) for row in rows]


@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda idiom: idiom.__name__)
async def test_idiom_comes_to_the_same_rows_deferred_eager_and_event_by_event(
    database: str, idiom: Handle
) -> None:
    deferred, eager = (Idiom(n, idiom, eager=n == "e") for n in "de")
    async with open_stage(database, deferred, eager, policy=ONCE) as stage:
        for number in (1, 2, 3, 4):
            await stage.place(f"s{number}", number)
        await stage.catch_up()
        rows = await read_rows(stage, "d")
        assert rows == await read_rows(stage, "e")
        bad = {3} if idiom is sets_a_codec else set()
        assert {letter["position"] for letter in await stage.letters()} == bad
        assert rows
        # Each event in a session of its own: what is left by none can be missed by none.
        alone = Idiom("a", idiom, eager=True)
        for number in (0, *sorted({1, 2, 3, 4} - bad)):
            async with session(database) as connection, connection.transaction():
                lent = HandlerConnection(connection, eager=True)
                lent.begin_turn()
                if number == 0:
                    await alone.setup(lent)
                else:
                    await alone.handle(Placed(f"s{number}", number), lent)
                await lent.check_turn()
                await lent.settle()
        assert rows == [
            {**row, "k": row["k"] and row["k"].replace("_a", "_d")}
            for row in await read_rows(stage, "a")
        ]


@pytest.mark.parametrize("name", [*REFUSED, *ENDING])
async def test_what_cannot_be_there_is_refused_by_name_with_a_cure(
    database: str, name: str
) -> None:
    async def ask(c: Any, t: str, e: Placed) -> None:
        await c.execute(f"INSERT INTO {t} (n) VALUES ($1)", e.amount)
        if e.amount == 2:
            refused = getattr(c, name)("x", print) if name in REFUSED else getattr(c, name)()
            await refused

    async with open_stage(database, Idiom("d", ask, eager=False), policy=ONCE) as stage:
        for number in (1, 2, 3):
            await stage.place(f"s{number}", number)
        await stage.catch_up()
        assert [row["n"] for row in await read_rows(stage, "d")] == [1, 3]
        [letter] = await stage.letters()
        expected = TransactionEndError if name in ENDING else ConnectionMisuseError
        assert letter["error_type"] == expected.__name__
        assert letter["error_message"].startswith(f"`{name}` is refused")


@pytest.mark.parametrize(
    "options", [{"isolation": "serializable"}, {"readonly": True}, {"deferrable": True}]
)
async def test_block_that_asks_for_a_transaction_of_its_own_is_refused(
    database: str, options: dict[str, Any]
) -> None:
    async with session(database) as raw, raw.transaction():
        with pytest.raises(ConnectionMisuseError, match="a connection of your own"):
            HandlerConnection(raw).transaction(**options)


async def test_what_an_earlier_event_made_is_refused_by_name(database: str) -> None:
    kept: dict[str, Any] = {}

    async def keep_and_use(c: Any, t: str, e: Placed) -> None:
        await c.execute(f"INSERT INTO {t} (n) VALUES ($1)", e.amount)
        match e.amount:
            case 1:
                kept["statement"] = await c.prepare(f"INSERT INTO {t} (k) VALUES ('late')")
                kept["cursor"] = await c.cursor("SELECT 1")
                kept["raw"] = await c.raw()
                kept["block"] = c.transaction()
            case 2:
                await kept["statement"].fetch()
            case 3:
                await kept["cursor"].fetch(1)
            case 4:
                await kept["raw"].execute(f"INSERT INTO {t} (k) VALUES ('late')")
            case _:
                pass

    async with open_stage(database, Idiom("d", keep_and_use, eager=False), policy=ONCE) as stage:
        for number in range(1, 6):
            await stage.place(f"s{number}", number)
        await stage.catch_up()
        assert [(row["k"], row["n"]) for row in await read_rows(stage, "d")] == [
            (None, 1),
            (None, 5),
        ]
        letters = await stage.letters()
        assert {letter["error_type"] for letter in letters} == {"ConnectionEndedError"}
        assert len(letters) == 3


async def test_blocks_end_in_order_and_once(database: str) -> None:
    async with session(database) as raw, raw.transaction():
        connection = HandlerConnection(raw)
        connection.begin_turn()
        outer, inner = connection.transaction(), connection.transaction()
        with pytest.raises(ConnectionMisuseError, match="not begun"):
            await outer.commit()
        await outer.start()
        await inner.start()
        with pytest.raises(ConnectionMisuseError, match="begun already"):
            await outer.start()
        with pytest.raises(ConnectionMisuseError, match="still open"):
            await outer.commit()
        await outer.rollback()
        with pytest.raises(ConnectionMisuseError, match="ended already"):
            await outer.rollback()
        managed = connection.transaction()
        with pytest.raises(ConnectionMisuseError, match="by itself"):
            async with managed:
                await managed.commit()
        await connection.check_turn()


async def test_attribute_that_is_nowhere_is_no_attribute(database: str) -> None:
    async with session(database) as raw, raw.transaction():
        connection: Any = HandlerConnection(raw)
        assert not hasattr(connection, "commit")
        with pytest.raises(AttributeError, match="has no 'rollback'"):
            connection.rollback()


async def test_concurrent_use_of_a_cursor_is_refused(database: str) -> None:
    async with session(database) as raw, raw.transaction():
        connection = HandlerConnection(raw)
        connection.begin_turn()
        cursors = [await connection.cursor("SELECT 1") for _ in range(2)]
        found = await asyncio.gather(*(c.fetch(1) for c in cursors), return_exceptions=True)
        assert sum(isinstance(each, ConnectionMisuseError) for each in found) == 1
