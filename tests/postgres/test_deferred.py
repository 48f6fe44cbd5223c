"""Deferred writes: travelling together, in order, seen by every read."""

import asyncio
import copy
import json
import operator
import pickle
from array import array
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from decimal import Decimal, localcontext
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from sidecar.errors import ConnectionMisuseError, DeferredStatusError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.handler.handler_connection import HandlerConnection
from sidecar.postgres.handler.write_buffer import BATCH_ROWS
from sidecar.postgres.statement_effect import ends_transaction
from tests.postgres.stage import session

INSERT = "INSERT INTO t (n) VALUES ($1)"
UPSERT = "INSERT INTO t (n) VALUES ($1) ON CONFLICT (n) DO UPDATE SET times = t.times + 1"


class RefusedError(Exception):
    """What a handler raises to undo its own block."""


class Spy:
    """Passes calls on to a connection and keeps the names of them."""

    def __init__(self, raw: RawConnection) -> None:
        self.calls: list[str] = []
        self._raw = raw

    def __getattr__(self, name: str) -> object:
        found = getattr(self._raw, name)
        if callable(found):
            self.calls.append(name)
        return found


@pytest.fixture
async def raw(empty_database: str) -> AsyncIterator[RawConnection]:
    async with session(empty_database) as connection:
        await connection.execute("CREATE TABLE t (n int PRIMARY KEY, times int DEFAULT 1)")
        async with connection.transaction():
            yield connection


@pytest.fixture
def spy(raw: RawConnection) -> Spy:
    return Spy(raw)


def defer(spy: Spy, *, eager: bool = False) -> HandlerConnection:
    connection = HandlerConnection(spy, eager=eager)  # type: ignore[arg-type]
    connection.begin_turn()
    return connection


async def test_equal_statements_become_one(spy: Spy, raw: RawConnection) -> None:
    connection = defer(spy)
    for number in range(100):
        await connection.execute(INSERT, number)
    assert spy.calls == []
    await connection.flush()
    assert spy.calls == ["executemany"]
    assert await raw.fetchval("SELECT count(*) FROM t") == 100


async def test_statement_and_many_of_it_travel_together(spy: Spy) -> None:
    connection = defer(spy)
    await connection.execute(INSERT, 1)
    await connection.executemany(INSERT, [(2,), (3,)])
    await connection.flush()
    assert spy.calls == ["executemany"]


async def test_another_statement_sends_the_ones_before_it(spy: Spy, raw: RawConnection) -> None:
    connection = defer(spy)
    await connection.execute(UPSERT, 1)
    await connection.execute("DELETE FROM t WHERE n = $1", 1)
    await connection.execute(UPSERT, 1)
    await connection.execute(UPSERT, 1)
    await connection.flush()
    assert spy.calls == ["execute", "execute", "executemany"]
    assert await raw.fetchval("SELECT times FROM t WHERE n = 1") == 2


@pytest.mark.parametrize("read", ["fetch", "fetchrow", "fetchval"])
async def test_reads_see_the_writes_before_them(spy: Spy, read: str) -> None:
    connection = defer(spy)
    await connection.execute(INSERT, 7)
    found = await getattr(connection, read)("SELECT n FROM t")
    assert spy.calls == ["execute", read]
    assert {"fetch": lambda: found[0][0], "fetchrow": lambda: found[0], "fetchval": lambda: found}[
        read
    ]() == 7


async def test_raw_connection_comes_after_the_writes_before_it(spy: Spy) -> None:
    connection = defer(spy)
    await connection.execute(INSERT, 7)
    assert await (await connection.raw()).fetchval("SELECT n FROM t") == 7


async def test_eager_connection_sends_each_at_once(spy: Spy) -> None:
    connection = defer(spy, eager=True)
    assert await connection.execute(INSERT, 1) == "INSERT 0 1"
    await connection.executemany(INSERT, [(2,), (3,)])
    assert spy.calls == ["execute", "executemany"]


async def test_handler_can_catch_the_error_of_its_own_savepoint(spy: Spy) -> None:
    connection = defer(spy)
    await connection.execute(INSERT, 1)
    with pytest.raises(asyncpg.UniqueViolationError):
        async with connection.transaction():
            await connection.execute(INSERT, 1)
    await connection.execute(INSERT, 2)
    assert await connection.fetchval("SELECT count(*) FROM t") == 2


@pytest.mark.parametrize("eager", [False, True], ids=["deferred", "eager"])
@pytest.mark.parametrize("batches", [0, 2], ids=["one statement", "a batch under way"])
async def test_block_that_is_rolled_back_leaves_nothing(
    spy: Spy, batches: int, *, eager: bool
) -> None:
    connection = defer(spy, eager=eager)
    await connection.execute(INSERT, -1)
    with pytest.raises(RefusedError):
        await write_and_refuse(connection, rows=batches * BATCH_ROWS + 1)
    await connection.execute(INSERT, -2)
    rows = await connection.fetch("SELECT n FROM t ORDER BY n")
    assert [row["n"] for row in rows] == [-2, -1]


async def write_and_refuse(connection: HandlerConnection, rows: int) -> None:
    async with connection.transaction():
        for number in range(rows):
            await connection.execute(INSERT, number)
        raise RefusedError


async def test_batch_that_fails_leaves_nothing_of_its_block_behind(spy: Spy) -> None:
    connection = defer(spy)
    with pytest.raises(asyncpg.UniqueViolationError):
        await write_twice(connection)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def write_twice(connection: HandlerConnection) -> None:
    async with connection.transaction():
        await connection.executemany(INSERT, [(1,), (1,)])
        await connection.execute(UPSERT, 2)


class Halting(Spy):
    """Sends nothing before it is let."""

    def __init__(self, raw: RawConnection) -> None:
        super().__init__(raw)
        self.is_asked = asyncio.Event()

    async def execute(self, query: str, *args: object) -> None:
        if query == INSERT:
            self.is_asked.set()
            await asyncio.Event().wait()
        await self._raw.execute(query, *args)


@pytest.mark.parametrize("is_ahead", [False, True], ids=["flush", "sent ahead"])
async def test_handler_that_gives_up_while_its_writes_are_sent_is_told(
    raw: RawConnection, *, is_ahead: bool
) -> None:
    halting = Halting(raw)
    connection = defer(halting)
    await connection.execute(INSERT, 1)
    if is_ahead:
        await connection.execute("DELETE FROM t WHERE n = 9")
    waiting = asyncio.create_task(connection.fetchval("SELECT 1"))
    await halting.is_asked.wait()
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    if is_ahead:
        with pytest.raises(ConnectionMisuseError, match="while they were sent"):
            await connection.flush()
    with pytest.raises(ConnectionMisuseError, match="some may be missing"):
        await connection.check_turn()


async def test_handler_may_give_up_in_a_block(raw: RawConnection) -> None:
    halting = Halting(raw)
    connection = defer(halting)
    await connection.execute(UPSERT, 7)

    async def block() -> None:
        async with connection.transaction():
            await connection.execute(INSERT, 1)
            await connection.fetchval("SELECT 1")

    waiting = asyncio.create_task(block())
    await halting.is_asked.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    await connection.check_turn()
    assert [row["n"] for row in await raw.fetch("SELECT n FROM t")] == [7]


async def test_error_of_a_deferred_statement_comes_with_the_flush_once(spy: Spy) -> None:
    connection = defer(spy)
    await connection.execute(INSERT, "no number")
    with pytest.raises(asyncpg.DataError):
        await connection.flush()
    await connection.flush()


USES: Final[dict[str, Callable[[Any], object]]] = {
    "equal": lambda status: status == "UPDATE 0",
    "unequal": lambda status: status != "UPDATE 0",
    "in": lambda status: "0" in status,
    "index": lambda status: status[-1],
    "method": lambda status: status.split()[-1],
    "format": lambda status: f"{status}",
    "percent": lambda status: "%s" % status,  # noqa: UP031 - one more way to read it
    "join": lambda status: "told " + status,
    "less": lambda status: status < "UPDATE 1",
    "iterate": lambda status: [*status],
    "unpack": lambda status: dict(**status),
    "kind": lambda status: isinstance(status, str),
    "f-string": lambda status: f"{status!s:>10}",
    "path": Path,
    "call": lambda status: status(),
    "await": lambda status: status.__await__(),
    "enter": lambda status: status.__enter__(),
    "string format": "{}".format,
    "json": json.dumps,
    "json within": lambda status: json.dumps({"status": [status]}),
    "pickle": pickle.dumps,
    **{use.__name__: use for use in (copy.copy, copy.deepcopy, operator.index, round, reversed)},
    **{read.__name__: read for read in (str, bool, len, hash, list, int, float, bytes, set, sum)},
}


@pytest.mark.parametrize("use", USES)
async def test_status_of_a_deferred_statement_cannot_be_read(spy: Spy, use: str) -> None:
    connection = defer(spy)
    status = await connection.execute(INSERT, 1)
    assert "deferred" in repr(status)
    with pytest.raises(DeferredStatusError, match="eager = True"):
        USES[use](status)


async def test_parameters_are_those_of_the_call(raw: RawConnection) -> None:
    await raw.execute("CREATE TEMP TABLE p (a int[], b bytea, c text, d inet)")
    connection = HandlerConnection(raw)
    row: list[Any] = [[1], bytearray(b"x"), "one", ip_address("::1")]
    rows = [row]
    await connection.execute("INSERT INTO p VALUES ($1, $2, $3, $4)", *row)
    await connection.executemany("INSERT INTO p VALUES ($1, $2, $3, $4)", rows)
    row[0].append(2)
    row[1].extend(b"y")
    row[2] = "two"
    rows.clear()
    await connection.flush()
    assert [tuple(r) for r in await raw.fetch("SELECT a, b, c, d FROM p")] == [
        ([1], b"x", "one", ip_address("::1"))
    ] * 2


class Money:
    """What a codec knows how to write, and a handler goes on changing."""

    def __init__(self, cents: int) -> None:
        self.cents = [cents]


async def test_values_of_every_kind_are_those_of_the_call(raw: RawConnection) -> None:
    await raw.set_type_codec(
        "money", schema="pg_catalog", encoder=lambda money: str(money.cents[0] / 100), decoder=str
    )
    await raw.execute("CREATE TEMP TABLE p (a int[], b bytea, c numeric, d money, e int[])")
    connection = HandlerConnection(raw)
    numbers, nested = array("i", [1, 2]), [[1, 2], [3, 4]]
    buffer, money = bytearray(b"abc"), Money(150)

    def lines() -> Iterator[tuple[Any, ...]]:
        for third in (Decimal(1) / 3, Decimal("1.10")):
            yield nested, memoryview(buffer)[1:], third, money, numbers

    with localcontext() as context:
        context.prec = 3
        await connection.executemany("INSERT INTO p VALUES ($1, $2, $3, $4, $5)", lines())
    nested[0].append(9)
    nested.clear()
    buffer[:] = b"xyz"
    money.cents[0] = 1
    numbers[0] = 9
    await connection.flush()
    found = await raw.fetch("SELECT a, b, c, d::numeric AS d, e FROM p")
    expected = [[1, 2], [3, 4]], b"bc", Decimal("0.333"), Decimal("1.5"), [1, 2]
    assert tuple(found[0]) == expected
    assert found[1]["c"] == Decimal("1.10")


async def test_text_of_several_statements_waits_and_travels_as_often_as_it_was_made(
    spy: Spy, raw: RawConnection
) -> None:
    connection = defer(spy)
    for _ in range(3):
        await connection.execute(f"{UPSERT.replace('$1', '1')}; {UPSERT.replace('$1', '2')}")
    assert spy.calls == []
    await connection.flush()
    assert await raw.fetchval("SELECT sum(times) FROM t") == 6


async def test_writes_keep_their_order_with_those_of_a_raw_connection(raw: RawConnection) -> None:
    connection = HandlerConnection(raw)
    kept = await connection.raw()
    await connection.execute(INSERT, 1)
    await kept.execute("UPDATE t SET times = 5 WHERE n = 1")
    assert await kept.fetchval("SELECT times FROM t") == 5


async def test_only_one_batch_of_own_writes_is_taken_back(spy: Spy, raw: RawConnection) -> None:
    connection = defer(spy)
    connection.begin_turn()
    await connection.execute(INSERT, 1)
    connection.begin_turn()
    await connection.execute(INSERT, 2)
    assert connection.take_back()
    connection.begin_turn()
    await connection.execute(INSERT, 3)
    await connection.fetchval("SELECT 1")
    assert not connection.take_back()
    assert [row["n"] for row in await raw.fetch("SELECT n FROM t")] == [1, 3]


async def test_task_that_is_no_coroutine_writes_as_well(spy: Spy, raw: RawConnection) -> None:
    class Awaited:
        def __await__(self) -> Generator[Any, Any, None]:
            return self.write().__await__()

        async def write(self) -> None:
            connection = defer(spy)
            await connection.execute(INSERT, 1)
            await connection.execute(INSERT, 2)
            await connection.flush()

    await asyncio.ensure_future(Awaited())
    assert await raw.fetchval("SELECT count(*) FROM t") == 2


@pytest.mark.parametrize(
    "query",
    [
        "COMMIT", " end;", "ABORT", "rollback work", "ROLLBACK AND CHAIN", "-- x\nCOMMIT",
        "PREPARE TRANSACTION 'x'", "SELECT $$;$$; commit", "SELECT E'\\';'; END",
        "/* a /* b */ ' */ COMMIT", "SELECT 1 /*'*/; COMMIT -- '",
    ],
)  # fmt: skip
def test_text_that_ends_a_transaction_is_known(query: str) -> None:
    assert ends_transaction(query)


@pytest.mark.parametrize(
    "query",
    [
        "ROLLBACK TO x", "rollback work to savepoint x", "SELECT 'a; COMMIT'", "SELECT 1 -- ; END",
        "SELECT CASE WHEN a THEN 1 END FROM t", "DO $$ BEGIN COMMIT; END $$",
        "PREPARE x AS SELECT 1", "/* ; COMMIT */ SELECT 1", 'SELECT ";commit"',
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END", "COMMENT ON TABLE t IS 'x'",
    ],
)  # fmt: skip
def test_text_that_ends_no_transaction_is_let_through(query: str) -> None:
    assert not ends_transaction(query)
