"""Dead letters that were resolved long ago are deleted; open ones and discards stay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.dead_letters import dead_letter_retention
from sidecar.postgres.dead_letters.dead_letter import count_discarded, discard
from sidecar.postgres.dead_letters.dead_letter_retention import DeadLetterRetention
from sidecar.postgres.query import sql
from sidecar.postgres.schema import use_schema
from tests.beside import beside
from tests.postgres.eventually import eventually
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, fetchval, open_stage, session

KEEP = (
    "INSERT INTO sidecar.dead_letters (projection, stream, version, event_id, event_type, category,"
    " error_type, error_message, traceback, attempts, resolution, resolved_at)"
    " SELECT $1, 's' || n, 1, gen_random_uuid(), 'Placed', 'handler', 'E', '', '', 1, $2,"
    " CASE WHEN $2::text IS NOT NULL THEN clock_timestamp() - make_interval(days => $3) END"
    " FROM generate_series(1, $4::int) n"
)
COUNT = "SELECT count(*) FROM sidecar.dead_letters"


async def test_only_what_was_resolved_long_ago_is_deleted(database: str) -> None:
    async with session(database) as connection:
        for resolution in ("retried", "erased", "discarded"):
            await connection.execute(KEEP, "a", resolution, 8, 2)
            await connection.execute(KEEP, "a", resolution, 6, 1)
        await connection.execute(KEEP, "a", None, 0, 1)
        assert await DeadLetterRetention(7).delete_batch(connection) == 6
        assert await DeadLetterRetention(7).delete_batch(connection) == 0
        assert await connection.fetchval(COUNT) == 4
        assert await connection.fetchval(f"{COUNT} WHERE resolution IS NULL") == 1
        told = "SELECT count(*) FROM sidecar.deleted_dead_letters"
        assert await connection.fetchval(told) == 0


async def test_what_was_discarded_is_never_applied_however_long_ago(database: str) -> None:
    journal = Journal()
    async with open_stage(database, journal) as stage, session(database) as connection:
        journal.broken = {"a"}
        await stage.place("a", 1, 2)
        await stage.catch_up()
        [letter] = await stage.letters()
        await discard(connection, letter["id"], "wrong")
        await connection.execute(
            "UPDATE sidecar.dead_letters SET resolved_at = now() - interval '99 days' "
            "WHERE resolution IS NOT NULL"
        )
        assert await DeadLetterRetention(90).delete_batch(connection) == 1
        assert await count_discarded(connection, "journal") == 1
        journal.broken = set()
        await start_anew(stage)
        assert [line.position for line in await stage.lines()] == [2]


async def start_anew(stage: Stage) -> None:
    """Have the log applied again, by a checkpoint at its beginning."""
    await stage.pool.execute("TRUNCATE journal")
    await stage.pool.execute("UPDATE sidecar.checkpoints SET position = 0, state = 'running'")
    await stage.pool.execute("DELETE FROM sidecar.dead_letters WHERE resolution IS NULL")
    await stage.catch_up()


async def test_one_process_of_a_service_deletes_at_a_time(database: str) -> None:
    async with session(database) as first, session(database) as second:
        await first.execute(KEEP, "a", "retried", 8, 3)
        async with first.transaction():
            await first.fetchval("SELECT pg_try_advisory_xact_lock(7236173, 4)")
            assert await DeadLetterRetention(7).delete_batch(second) == 0
            with use_schema("other"):
                lock = sql("delete_resolved_letters")
                assert "7236173" not in lock
        assert await DeadLetterRetention(7).delete_batch(second) == 3


async def test_many_go_in_small_batches_and_are_told_once(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dead_letter_retention, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(dead_letter_retention, "BATCH_LETTERS", 40)
    caplog.set_level("INFO")
    batches = 0

    @asynccontextmanager
    async def connect() -> AsyncIterator[RawConnection]:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise ConnectionResetError
        async with session(database) as connection:
            yield connection

    async with session(database) as connection:
        await connection.execute(KEEP, "a", "retried", 91, 90)
    monkeypatch.setattr(dead_letter_retention, "INTERVAL_SECONDS", 0.01)
    async with beside(DeadLetterRetention(90).run(connect)):

        async def is_told() -> bool:
            return any(line.startswith("Deleted 90 dead letter(s)") for line in caplog.messages)

        await eventually(is_told)
    assert await fetchval(database, COUNT) == 0
    assert batches >= 4
    assert sum("now: ConnectionResetError" in line for line in caplog.messages) == 1


async def test_a_batch_reads_no_more_than_it_deletes(database: str) -> None:
    async with session(database) as connection:
        await connection.execute(KEEP, "a", "retried", 1, 20_000)
        await connection.execute("ANALYZE sidecar.dead_letters")
        explain = f"EXPLAIN {sql('delete_resolved_letters')}"
        rows = await connection.fetch(explain.replace("$1", "7").replace("$2", "500"))
        plan = "\n".join(row[0] for row in rows)
        assert "dead_letters_resolved_idx" in plan, plan
        assert "Seq Scan on dead_letters d" not in plan, plan
