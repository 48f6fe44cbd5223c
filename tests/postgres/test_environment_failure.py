"""What refuses every event halts its projection once; no event is parked, and it goes on alone."""

import logging

import asyncpg
import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.checkpoint import set_state
from sidecar.postgres.projection_store import PostgresProjectionStore
from sidecar.postgres.query import sql
from sidecar.projections.environment_failure import HALT_STREAMS
from sidecar.projections.ports import State
from sidecar.projections.retry import RetryPolicy
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import (
    Totals,
    cancel,
    oracle,
    read,
    start,
    until_halted,
    until_live,
    until_swapped,
    working,
)
from tests.postgres.shop import RAISE, Journal, Placed
from tests.postgres.stage import Stage, open_stage

STREAMS = 60


class Environment(Journal):
    """Writes as another role, which rights can be taken from, and may be cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.role = ""
        self.sqlstate = ""

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        if self.role:
            await connection.execute(f'SET LOCAL ROLE "{self.role}"')
        await super().handle(event, connection, record)
        if self.role:
            await connection.execute("RESET ROLE")
        if self.sqlstate and self.sqlstate != "57014":
            await connection.execute(RAISE.format(self.sqlstate))
        if self.sqlstate == "57014":
            await connection.execute("SET LOCAL statement_timeout = 20")
            await connection.fetchval("SELECT pg_sleep(5)")


async def state_of(stage: Stage) -> tuple[str, str | None]:
    row = await stage.pool.fetchrow(
        "SELECT state, detail FROM sidecar.checkpoints WHERE copy = 'live'"
    )
    assert row is not None
    return row["state"], row["detail"]


async def until_state(stage: Stage, state: str) -> None:
    async def is_it() -> bool:
        stage.check_loops()
        return (await state_of(stage))[0] == state

    await eventually(is_it)


async def place_streams(stage: Stage, first: int = 0) -> None:
    for number in range(first, first + STREAMS):
        await stage.place(f"order-{number}", 1)


async def count_letters(stage: Stage) -> int:
    return int(await stage.pool.fetchval("SELECT count(*) FROM sidecar.dead_letters"))


def halts(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [r for r in caplog.records if getattr(r, "event", "") == "sidecar.projection.halted"]


async def test_right_that_is_revoked_halts_once_and_parks_nothing(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    projection = Environment()
    role = f"writer_{database.rpartition('test_')[2].partition('?')[0]}"
    async with open_stage(database, projection) as stage:
        await stage.pool.execute(f'CREATE ROLE "{role}"')
        try:
            await stage.pool.execute(f'GRANT USAGE ON SEQUENCE journal_line_seq TO "{role}"')
            projection.role = role
            await place_streams(stage)
            stage.start()
            await stage.advance()
            await until_state(stage, "failed")
            _, detail = await state_of(stage)
            assert detail is not None
            assert "InsufficientPrivilegeError (SQLSTATE 42501)" in detail
            assert "table journal" in detail
            assert "GRANT" in detail
            assert await stage.checkpoint() == 0
            assert await count_letters(stage) == 0
            await stage.pool.execute(f'GRANT INSERT ON journal TO "{role}"')
            await until_state(stage, "running")
            await stage.settle()
            assert len(await stage.lines()) == STREAMS
            assert await count_letters(stage) == 0
            assert (await state_of(stage))[1] is None
            assert len(halts(caplog)) == 1
            failures = stage.runners[0].tally.failures
            assert failures["InsufficientPrivilegeError", "halt"] == 1
            assert ("InsufficientPrivilegeError", "park") not in failures
            await stage.stop()
        finally:
            await stage.pool.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


async def test_table_that_is_away_halts_until_it_is_back_whatever_people_ask_meanwhile(
    database: str,
) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.pool.execute("ALTER TABLE journal RENAME TO away")
        await place_streams(stage)
        stage.start()
        await stage.advance()
        await until_state(stage, "failed")
        async with stage.pool.acquire() as connection:
            await set_state(connection, "journal", State.RUNNING)
            await until_state(stage, "failed")
            await set_state(connection, "journal", State.PAUSED)
            await stage.pool.execute("ALTER TABLE away RENAME TO journal")
            assert (await state_of(stage))[0] == "paused"
            await set_state(connection, "journal", State.RUNNING)
        await stage.settle()
        assert len(await stage.lines()) == STREAMS
        assert await count_letters(stage) == 0
        await until_state(stage, "running")
        await stage.stop()


async def test_statements_that_time_out_halt_it_until_they_do_not(database: str) -> None:
    projection = Environment()
    projection.sqlstate = "57014"
    async with open_stage(database, projection) as stage:
        await place_streams(stage)
        stage.start()
        await stage.advance()
        await until_state(stage, "failed")
        assert "statement_timeout" in ((await state_of(stage))[1] or "")
        projection.sqlstate = ""
        await until_state(stage, "running")
        await stage.settle()
        assert len(await stage.lines()) == STREAMS
        assert await count_letters(stage) == 0
        await stage.stop()


async def test_poisoned_event_beside_it_is_parked_and_the_others_are_not(database: str) -> None:
    projection = Journal()
    projection.broken.add("order-1")
    policy = RetryPolicy(max_attempts=1)
    async with open_stage(database, projection, policy=policy) as stage:
        await stage.pool.execute("ALTER TABLE journal RENAME TO away")
        await place_streams(stage)
        stage.start()
        await stage.advance()
        await until_state(stage, "failed")
        await stage.pool.execute("ALTER TABLE away RENAME TO journal")
        await stage.settle()
        assert len(await stage.lines()) == STREAMS - 1
        assert [letter["stream"] for letter in await stage.letters()] == ["order-1"]
        await stage.stop()


async def test_event_that_alone_meets_such_an_error_is_parked(database: str) -> None:
    class OneTable(Journal):
        async def handle(
            self, event: Placed, connection: Connection, record: RecordedEvent
        ) -> None:
            await super().handle(event, connection, record)
            if event.order in {"order-7", "order-20", "order-40"}:
                await connection.execute("INSERT INTO nowhere VALUES (1)")

    async with open_stage(database, OneTable()) as stage:
        await place_streams(stage)
        await stage.catch_up()
        assert len(await stage.lines()) == STREAMS - 3
        letters = await stage.letters()
        assert [letter["stream"] for letter in letters] == ["order-20", "order-40", "order-7"]
        assert {letter["attempts"] for letter in letters} == {3}
        assert await state_of(stage) == ("running", None)
        # As they fail alone, so do their retries.
        await stage.retry()
        assert {letter["attempts"] for letter in await stage.letters()} == {4}
        assert await state_of(stage) == ("running", None)


async def count_waiting(stage: Stage) -> int:
    query = "SELECT count(*) FROM sidecar.dead_letters WHERE resolution IS NULL"
    return int(await stage.pool.fetchval(query))


async def test_constraint_that_every_event_violates_halts_it_until_it_is_gone(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.pool.execute("ALTER TABLE journal ADD note text NOT NULL")
        await place_streams(stage)
        stage.start()
        await stage.advance()
        await until_state(stage, "failed")
        told = (await state_of(stage))[1] or ""
        assert "NotNullViolationError (SQLSTATE 23502)" in told
        assert "column note of table journal" in told
        await stage.pool.execute("ALTER TABLE journal DROP note")
        await until_state(stage, "running")
        await stage.settle()
        await stage.until_retried()
        assert len(await stage.lines()) == STREAMS
        assert await count_waiting(stage) == 0
        assert len(halts(caplog)) == 1
        await stage.stop()


async def test_limit_of_the_database_for_statements_is_told_by_its_name(database: str) -> None:
    slow = (
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END'; "
        "CREATE TRIGGER slow BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    async with open_stage(database, Journal()) as stage:
        name = await stage.pool.fetchval("SELECT current_database()")
        await stage.pool.execute(slow)
        await stage.pool.execute(f"ALTER DATABASE \"{name}\" SET statement_timeout = '50ms'")
        await stage.pool.expire_connections()
        await place_streams(stage)
        stage.start()
        await stage.advance()
        await until_state(stage, "failed")
        assert "`statement_timeout`" in ((await state_of(stage))[1] or "")
        assert await count_letters(stage) == 0
        await stage.pool.execute("DROP TRIGGER slow ON journal")
        await until_state(stage, "running")
        await stage.settle()
        assert len(await stage.lines()) == STREAMS
        await stage.stop()


@pytest.mark.parametrize("kind", ["handler", "projection"])
async def test_what_acts_outside_halts_as_well_and_does_nothing_twice(
    database: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    class Outside:
        name = "outside"
        handles = (Placed,)

        async def handle(self, event: Placed) -> None:
            called.append(event.order)
            await stage.pool.execute("INSERT INTO effects VALUES ($1)", event.order)

    handlers = [Outside()] if kind == "handler" else []
    projections = [Outside()] if kind == "projection" else []
    async with open_stage(database, *projections, handlers=handlers) as stage:
        await stage.pool.execute("CREATE TABLE away (stream text)")
        await place_streams(stage)
        stage.start()
        await stage.advance()
        await until_state(stage, "failed")
        assert 'relation "effects" does not exist' in ((await state_of(stage))[1] or "")
        assert set(called) == {"order-0", "order-1", "order-2"}
        await stage.pool.execute("ALTER TABLE away RENAME TO effects")
        await until_state(stage, "running")
        await stage.settle()
        await stage.until_retried()
        rows = await stage.pool.fetch("SELECT stream FROM effects")
        assert sorted(row["stream"] for row in rows) == sorted(f"order-{n}" for n in range(STREAMS))
        assert await count_waiting(stage) == 0
        assert len(halts(caplog)) == 1
        await stage.stop()


async def test_right_that_is_missing_is_told_as_the_statement_that_grants_it(database: str) -> None:
    role = f"reader_{database.rpartition('test_')[2].partition('?')[0]}"
    async with open_stage(database, Journal()) as owner:
        await owner.pool.execute(
            f'CREATE ROLE "{role}" LOGIN; GRANT ALL ON SCHEMA sidecar TO "{role}"; '
            f'GRANT ALL ON ALL TABLES IN SCHEMA sidecar TO "{role}"; '
            f'GRANT SELECT ON journal TO "{role}"'
        )
        try:
            store = PostgresProjectionStore(owner.pool)
            assert list(await store.list_missing_grants(["journal", "nowhere"])) == []
            async with owner.pool.acquire() as connection:
                await connection.execute(f'SET ROLE "{role}"')
                query = sql("list_missing_grants")
                rows = await connection.fetch(query, ["journal", "nowhere"])
                await connection.execute("RESET ROLE")
                assert [row["statement"] for row in rows] == [
                    f"GRANT DELETE, INSERT, UPDATE ON TABLE journal TO {role}",
                    f"GRANT USAGE ON SEQUENCE journal_line_seq TO {role}",
                ]
        finally:
            await owner.pool.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


class Wrapping(Journal):
    """Raises an error of its own for what PostgreSQL says, as libraries do."""

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        try:
            await super().handle(event, connection, record)
            await connection.fetchval("SELECT 1")
        except asyncpg.PostgresError as error:
            raise RuntimeError("query failed") from error


@pytest.mark.parametrize("kind", [Journal, Wrapping])
async def test_what_was_parked_before_it_was_known_goes_on_by_itself(
    database: str, kind: type[Journal]
) -> None:
    async with open_stage(database, kind(), policy=RetryPolicy(max_attempts=1)) as stage:
        await stage.pool.execute("ALTER TABLE journal RENAME TO away")
        stage.start()
        for number in range(2):
            await stage.place(f"order-{number}", 1)
            await stage.settle()
        assert len(await stage.letters()) == 2
        await stage.place("order-2", 1)
        await stage.advance()
        await until_state(stage, "failed")
        assert len(await stage.letters()) == 2
        await stage.pool.execute("ALTER TABLE away RENAME TO journal")
        await stage.settle()
        await stage.until_retried()
        assert len(await stage.lines()) == 3
        assert await stage.letters() == []
        await stage.stop()


async def test_rebuild_is_started_and_dropped_beside_a_copy_that_stands_still(
    database: str,
) -> None:
    async with open_stage(database, Totals()) as stage:
        await stage.pool.execute("ALTER TABLE totals DROP CONSTRAINT totals_pkey")
        await place_streams(stage)
        async with working(stage):
            await until_state(stage, "failed")
            assert "42P10" in ((await state_of(stage))[1] or "")
            await start(stage)
            assert "InvalidColumnReferenceError" in await until_halted(stage)
            await cancel(stage)
            await stage.pool.execute("ALTER TABLE totals ADD PRIMARY KEY (stream)")
            await until_live(stage)
            await start(stage)
            await until_swapped(stage)
            assert await state_of(stage) == ("running", None)
        assert await read(stage) == await oracle(stage)
        assert await count_letters(stage) == 0


async def test_retries_while_a_table_is_away_halt_like_the_loop_and_go_on_by_themselves(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    projection = Journal()
    projection.broken = {f"order-{number}" for number in range(STREAMS)}
    async with open_stage(database, projection, policy=RetryPolicy(max_attempts=1)) as stage:
        await place_streams(stage)
        await stage.catch_up()
        assert await count_letters(stage) == STREAMS
        projection.broken = set()
        await stage.pool.execute("ALTER TABLE journal RENAME TO away")
        await stage.ask_retry()
        stage.start()
        await until_state(stage, "failed")
        assert "UndefinedTableError (SQLSTATE 42P01)" in str((await state_of(stage))[1])
        tried = "SELECT count(*) FROM sidecar.dead_letters WHERE attempts > 1"
        assert await stage.pool.fetchval(tried) < HALT_STREAMS
        due = "SELECT count(*) FROM sidecar.dead_letters WHERE retry_at <= clock_timestamp()"
        assert await stage.pool.fetchval(due) == STREAMS
        await stage.pool.execute("ALTER TABLE away RENAME TO journal")
        await until_state(stage, "running")
        await stage.until_retried()
        await stage.stop()
        assert await stage.letters() == []
        assert len(await stage.lines()) == STREAMS
        assert len(halts(caplog)) == 1
