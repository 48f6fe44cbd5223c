"""What a handler may do to its connection: as asyncpg takes it, or its event is parked."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Final

import pytest

from sidecar.errors import ConnectionEndedError
from sidecar.projections.projection import Projection
from sidecar.projections.retry import RetryPolicy
from tests.beside import beside
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage

ONCE: Final = RetryPolicy(max_attempts=1)
ADD: Final = "INSERT INTO r (k) VALUES ($1)"

Handle = Callable[[Placed, Any], Awaitable[None]]


class Rows(Projection):
    """Writes one row for each event, and for the third does what a test wants to see."""

    name = "r"
    handles = (Placed,)

    def __init__(self, third: Handle, *, eager: bool = False) -> None:
        self.eager = eager  # type: ignore[misc]  # one of the test's own
        self._third = third

    async def setup(self, connection: Any) -> None:
        await connection.execute("CREATE TABLE IF NOT EXISTS r (line bigserial, k text)")

    async def handle(self, event: Placed, connection: Any) -> None:
        await connection.execute(ADD, event.order)
        if event.amount == 3:
            await self._third(event, connection)


async def rows(stage: Stage) -> list[str]:
    return [row["k"] for row in await stage.pool.fetch("SELECT k FROM r ORDER BY line")]


async def ends(_event: Placed, connection: Any) -> None:
    await connection.execute("COMMIT")


async def ends_within(_event: Placed, connection: Any) -> None:
    await connection.execute("SELECT 1; /* ; */ ROLLBACK; BEGIN")


async def ends_raw(_event: Placed, connection: Any) -> None:
    await (await connection.raw()).execute("ROLLBACK")


async def closes_raw(_event: Placed, connection: Any) -> None:
    await (await connection.raw()).close()


async def ends_in_a_block(_event: Placed, connection: Any) -> None:
    await connection.execute("DO $$ BEGIN COMMIT; END $$")


async def ends_in_a_procedure(_event: Placed, connection: Any) -> None:
    await connection.execute(
        "CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$"
    )
    await connection.execute("CALL commits()")


async def prepares_the_end(_event: Placed, connection: Any) -> None:
    await connection.execute("PREPARE TRANSACTION 'mine'")


async def prepares_a_statement_that_ends(_event: Placed, connection: Any) -> None:
    await (await connection.prepare("COMMIT")).fetch()


async def terminates(_event: Placed, connection: Any) -> None:
    connection.terminate()


async def terminates_raw(_event: Placed, connection: Any) -> None:
    (await connection.raw()).terminate()


async def resets_raw(_event: Placed, connection: Any) -> None:
    await (await connection.raw()).reset()


async def kills_itself(_event: Placed, connection: Any) -> None:
    await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def kills_itself_by_number(_event: Placed, connection: Any) -> None:
    await connection.fetchval("SELECT pg_terminate_backend($1)", connection.get_server_pid())


async def kills_itself_by_statement(_event: Placed, connection: Any) -> None:
    statement = await connection.prepare("SELECT pg_terminate_backend($1)")
    await statement.fetchval(await connection.fetchval("SELECT pg_backend_pid()"))


async def makes_it_read_only(_event: Placed, connection: Any) -> None:
    await connection.execute("SET TRANSACTION READ ONLY")


async def makes_it_read_only_by_a_function(_event: Placed, connection: Any) -> None:
    await connection.fetchval("SELECT set_config('transaction_read_only', 'on', true)")


async def forgets_statements(_event: Placed, connection: Any) -> None:
    await connection.execute("DEALLOCATE ALL")


async def groups(event: Placed, connection: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(connection.execute(ADD, f"{event.order}{number}"))


async def gathers(event: Placed, connection: Any) -> None:
    await asyncio.gather(*(connection.execute(ADD, f"{event.order}{n}") for n in range(2)))


async def gathers_reads(_event: Placed, connection: Any) -> None:
    await asyncio.gather(
        *(connection.fetchval("SELECT pg_sleep(60)") for _ in range(3)), return_exceptions=False
    )


async def gathers_raw(_event: Placed, connection: Any) -> None:
    raw = await connection.raw()
    await asyncio.gather(*(raw.fetchval("SELECT pg_sleep(60)") for _ in range(3)))


async def hides_a_refusal(event: Placed, connection: Any) -> None:
    await asyncio.gather(
        *(connection.execute(ADD, f"{event.order}{n}") for n in range(3)), return_exceptions=True
    )


async def leaves_a_statement_behind(_event: Placed, connection: Any) -> None:
    left_behind.append(asyncio.ensure_future(connection.fetchval("SELECT pg_sleep(60)")))
    await asyncio.sleep(0)


async def gives_up(event: Placed, connection: Any) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await connection.execute("SELECT pg_sleep(60)")
            await connection.execute(ADD, f"{event.order} never")
            await connection.fetchval("SELECT 1")


class Statements(StrEnum):
    ADD = "INSERT INTO r (k) VALUES ($1)"


async def keeps_statements_in_an_enum(event: Placed, connection: Any) -> None:
    await connection.fetch(Statements.ADD, event.order)


async def writes_half_a_character(event: Placed, connection: Any) -> None:
    await connection.execute(f"INSERT INTO r (k) VALUES ('{event.order} \ud83d')")


async def copies_to_what_fails(_event: Placed, connection: Any) -> None:
    async def fail(_data: bytes) -> None:
        raise ValueError("full")

    await connection.copy_from_query("SELECT 1", output=fail)


async def goes_on_after_a_copy_that_failed(event: Placed, connection: Any) -> None:
    with contextlib.suppress(ValueError):
        await copies_to_what_fails(event, connection)
    await connection.execute(ADD, event.order)


left_behind: Final[list[asyncio.Future[Any]]] = []


@pytest.mark.parametrize("eager", [False, True], ids=["deferred", "eager"])
@pytest.mark.parametrize(
    ("third", "error_type"),
    [
        (ends, "TransactionEndError"),
        (ends_within, "TransactionEndError"),
        (ends_raw, "TransactionEndError"),
        (closes_raw, "TransactionEndError"),
        (ends_in_a_block, "InvalidTransactionTerminationError"),
        (ends_in_a_procedure, "InvalidTransactionTerminationError"),
        (prepares_the_end, "TransactionEndError"),
        (prepares_a_statement_that_ends, "TransactionEndError"),
        (terminates, "TransactionEndError"),
        (terminates_raw, "TransactionEndError"),
        (resets_raw, "TransactionEndError"),
        (kills_itself, "TransactionEndError"),
        (kills_itself_by_number, "TransactionEndError"),
        (kills_itself_by_statement, "TransactionEndError"),
        (makes_it_read_only, "TransactionEndError"),
        (makes_it_read_only_by_a_function, "ActiveSQLTransactionError"),
        (forgets_statements, "TransactionEndError"),
        (groups, "ExceptionGroup"),
        (gathers, "ConcurrentStatementsError"),
        (gathers_reads, "ConcurrentStatementsError"),
        (hides_a_refusal, "ConcurrentStatementsError"),
        (leaves_a_statement_behind, "ConcurrentStatementsError"),
        (gathers_raw, "InterfaceError"),
        (gives_up, "InFailedSQLTransactionError"),
        (copies_to_what_fails, "ValueError"),
        (goes_on_after_a_copy_that_failed, "ConcurrentStatementsError"),
        (keeps_statements_in_an_enum, "ConnectionMisuseError"),
        (writes_half_a_character, "ConnectionMisuseError"),
    ],
)
async def test_event_whose_handler_spoils_the_transaction_is_parked_and_nothing_else(
    database: str, third: Handle, error_type: str, *, eager: bool
) -> None:
    async with open_stage(database, Rows(third, eager=eager), policy=ONCE) as stage:
        for number in range(1, 6):
            await stage.place(f"s{number}", number)
        await stage.catch_up()
        assert await rows(stage) == ["s1", "s2", "s4", "s5"]
        [letter] = await stage.letters()
        assert (letter["stream"], letter["error_type"]) == ("s3", error_type)
        assert await stage.checkpoint("r") == 5
        # Taken up again, it fails in the same way and is kept.
        await stage.retry()
        [letter] = await stage.letters()
        assert (letter["attempts"], letter["error_type"]) == (2, error_type)
        assert await rows(stage) == ["s1", "s2", "s4", "s5"]
    for task in left_behind:
        await asyncio.wait([task])
        assert task.cancelled() or task.exception()
    left_behind.clear()


async def test_task_that_outlives_its_handler_is_refused_and_writes_nowhere(database: str) -> None:
    late: list[asyncio.Task[None]] = []
    go = asyncio.Event()

    async def write_late(event: Placed, connection: Any) -> None:
        await go.wait()
        await connection.execute(ADD, f"late {event.order}")

    async def write_late_in_a_block(event: Placed, connection: Any) -> None:
        async with connection.transaction():
            await write_late(event, connection)

    async def leave(event: Placed, connection: Any) -> None:
        late.append(asyncio.create_task(write_late(event, connection)))

    async with open_stage(database, Rows(leave), policy=ONCE) as stage:
        await stage.place("s1", 3)
        await stage.place("s2", 1)
        await stage.catch_up()
        go.set()
        await asyncio.wait(late)
        assert isinstance(late[0].exception(), ConnectionEndedError)
        assert await rows(stage) == ["s1", "s2"]
        assert await stage.letters() == []


def write_from_a_thread(event: Placed, connection: Any, loop: asyncio.AbstractEventLoop) -> None:
    statement = connection.execute(ADD, f"{event.order} in a thread")
    asyncio.run_coroutine_threadsafe(statement, loop).result(5)


@pytest.mark.parametrize("eager", [False, True], ids=["deferred", "eager"])
async def test_tasks_that_the_handler_awaits_write_in_its_place(
    database: str, *, eager: bool
) -> None:
    async def wait_for(event: Placed, connection: Any) -> None:
        await asyncio.wait_for(connection.execute(ADD, f"{event.order} at most"), 5)
        await asyncio.to_thread(write_from_a_thread, event, connection, asyncio.get_running_loop())
        async with asyncio.TaskGroup() as group:
            group.create_task(connection.execute(ADD, f"{event.order} in a group"))

    async with open_stage(database, Rows(wait_for, eager=eager), policy=ONCE) as stage:
        await stage.place("s1", 3)
        await stage.place("s2", 1)
        await stage.catch_up()
        expected = ["s1", "s1 at most", "s1 in a thread", "s1 in a group", "s2"]
        assert await rows(stage) == expected
        assert await stage.letters() == []


@pytest.mark.parametrize("eager", [False, True], ids=["deferred", "eager"])
async def test_task_of_an_earlier_event_is_refused_in_the_turn_of_a_later_one(
    database: str, *, eager: bool
) -> None:
    go, refused = asyncio.Event(), asyncio.Event()
    late: list[asyncio.Task[None]] = []

    async def write_late(connection: Any) -> None:
        await go.wait()
        with pytest.raises(ConnectionEndedError):
            await connection.execute(ADD, "late")
        refused.set()

    async def leave_then_meet(event: Placed, connection: Any) -> None:
        if event.order == "s1":
            late.append(asyncio.create_task(write_late(connection)))
        else:
            go.set()
            await refused.wait()

    async with open_stage(database, Rows(leave_then_meet, eager=eager), policy=ONCE) as stage:
        await stage.place("s1", 3)
        await stage.place("s2", 3)
        await stage.catch_up()
        await asyncio.gather(*late)
        assert await rows(stage) == ["s1", "s2"]
        assert await stage.letters() == []


@pytest.mark.parametrize("eager", [False, True], ids=["deferred", "eager"])
async def test_task_that_no_handler_started_is_refused_and_its_event_alone_is_parked(
    database: str, *, eager: bool
) -> None:
    asked: asyncio.Queue[tuple[Any, asyncio.Future[None]]] = asyncio.Queue()

    async def write_for_others() -> None:
        while True:
            connection, answer = await asked.get()
            try:
                await connection.execute(ADD, "for others")
            except ConnectionEndedError as error:
                answer.set_exception(error)

    async def ask(_event: Placed, connection: Any) -> None:
        answer = asyncio.get_running_loop().create_future()
        await asked.put((connection, answer))
        await answer

    async with (
        beside(write_for_others()),
        open_stage(database, Rows(ask, eager=eager), policy=ONCE) as stage,
    ):
        await stage.place("s1", 3)
        await stage.place("s2", 1)
        await stage.catch_up()
        assert await rows(stage) == ["s2"]
        [letter] = await stage.letters()
        assert letter["error_type"] == "ConnectionEndedError"
        assert "no handler started it" in letter["error_message"]


async def test_connection_that_a_handler_kept_is_refused_after_its_batch(database: str) -> None:
    kept: list[Any] = []

    async def keep(_event: Placed, connection: Any) -> None:
        kept.append(connection)

    async with open_stage(database, Rows(keep), policy=ONCE) as stage:
        await stage.place("s1", 3)
        await stage.catch_up()
        for use in (kept[0].execute, kept[0].fetch):
            with pytest.raises(ConnectionEndedError):
                await use("SELECT 1")
        with pytest.raises(ConnectionEndedError):
            await kept[0].executemany(ADD, [("late",)])
        assert await rows(stage) == ["s1"]


async def test_handler_that_reads_its_status_does_the_same_deferred_as_in_process(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Counts(Projection):
        name = "r"
        hides = False

        async def setup(self, connection: Any) -> None:
            await connection.execute("CREATE TABLE IF NOT EXISTS r (k text, n int)")

        async def handle(self, event: Placed, connection: Any) -> None:
            status = await connection.execute("UPDATE r SET n = n + 1 WHERE k = $1", event.order)
            try:
                is_new = status == "UPDATE 0"
            except Exception:
                if not self.hides:
                    raise
                is_new = False
            if is_new:
                await connection.execute("INSERT INTO r VALUES ($1, 1)", event.order)

    for hides in (False, True):
        counts = Counts()
        counts.hides = hides
        caplog.clear()
        async with open_stage(database, counts, policy=ONCE) as stage:
            await stage.pool.execute("TRUNCATE r")
            for _ in range(3):
                await stage.place("a", 1, 2)
            await stage.catch_up()
            count = await stage.checkpoint("r")
            assert await stage.letters() == []
            assert sum(row["n"] for row in await stage.pool.fetch("SELECT n FROM r")) == 6
            assert count == (12 if hides else 6)
        told = [r for r in caplog.records if r.__dict__.get("event") == "sidecar.projection.eager"]
        assert len(told) == 1
        assert "eager = True" in told[0].getMessage()


@pytest.mark.parametrize("eager", [False, True], ids=["deferred", "eager"])
async def test_deferrable_constraint_parks_the_event_that_violates_it(
    database: str, *, eager: bool
) -> None:
    class Lines(Rows):
        async def setup(self, connection: Any) -> None:
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS parent (k text PRIMARY KEY);"
                "CREATE TABLE IF NOT EXISTS told (k text);"
                "CREATE TABLE IF NOT EXISTS r (line bigserial,"
                " k text REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"
                "CREATE OR REPLACE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " IF NEW.k = 's4' THEN RAISE EXCEPTION 'no fourth'; END IF;"
                " INSERT INTO told VALUES (NEW.k); RETURN NULL; END $$;"
                "CREATE CONSTRAINT TRIGGER look AFTER INSERT ON r DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION look()"
            )

        async def handle(self, event: Placed, connection: Any) -> None:
            # The child comes before its parent, as a deferred constraint allows.
            await super().handle(event, connection)
            if event.amount != 3:
                await connection.execute("INSERT INTO parent VALUES ($1)", event.order)

    async def nothing(_event: Placed, _connection: Any) -> None:
        """The row alone violates it."""

    async with open_stage(database, Lines(nothing, eager=eager), policy=ONCE) as stage:
        for number in range(1, 13):
            await stage.place(f"s{number}", number)
        await stage.catch_up()
        sound = [f"s{n}" for n in range(1, 13) if n not in {3, 4}]
        assert await rows(stage) == sound
        told = [row["k"] for row in await stage.pool.fetch("SELECT k FROM told")]
        assert sorted(told) == sorted(sound)
        letters = {letter["stream"]: letter["error_type"] for letter in await stage.letters()}
        assert letters == {"s3": "ForeignKeyViolationError", "s4": "RaiseError"}
        await stage.retry()
        assert [letter["attempts"] for letter in await stage.letters()] == [2, 2]
        await stage.pool.execute("INSERT INTO parent VALUES ('s3')")
        await stage.retry()
        assert [letter["stream"] for letter in await stage.letters()] == ["s4"]
        assert (await rows(stage))[-1] == "s3"
