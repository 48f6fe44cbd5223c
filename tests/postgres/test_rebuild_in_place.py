"""A read model that a copy cannot replace is emptied and filled again by its own loop."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.errors import ProjectionError
from sidecar.postgres.dead_letters.dead_letter import discard
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.rebuild import rebuild
from sidecar.postgres.rebuild.refill import describe_refill, refill
from sidecar.postgres.samples.sample import take_sample
from sidecar.projections.projection_status import ProjectionStatus, Rebuild
from sidecar.projections.retry import RetryPolicy
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals, fill, oracle, read, start, until_live, working
from tests.postgres.stage import Stage, open_stage

EVENTS = 600
OBSTACLES = """
    CREATE VIEW large AS SELECT * FROM totals WHERE amount > 100;
    CREATE TABLE notes (stream text REFERENCES totals ON DELETE CASCADE, note text);
    CREATE TABLE log (line text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO log VALUES (TG_OP); RETURN NULL; END';
    CREATE TRIGGER noted AFTER UPDATE ON totals FOR EACH STATEMENT EXECUTE FUNCTION note();
"""


@pytest.fixture
def totals() -> Totals:
    return Totals(partitions=2)


@pytest.fixture
async def stage(database: str, totals: Totals) -> AsyncIterator[Stage]:
    async with open_stage(database, totals, policy=RetryPolicy(max_attempts=1)) as stage:
        await fill(stage, EVENTS, streams=10)
        yield stage


async def empty(stage: Stage) -> None:
    async with stage.pool.acquire() as connection:
        await refill(connection, "totals")


async def status_of(stage: Stage) -> ProjectionStatus:
    async with stage.pool.acquire() as connection:
        [status] = (await take_sample(connection, SafeHeadFollower())).projections
    return status


async def letters(stage: Stage) -> list[Any]:
    return [
        tuple(row)
        for row in await stage.pool.fetch(
            "SELECT position, resolution, reason FROM sidecar.dead_letters ORDER BY id"
        )
    ]


async def test_tables_that_a_copy_cannot_replace_are_filled_again(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute(OBSTACLES)
        await stage.pool.execute(
            "UPDATE totals SET amount = -1; INSERT INTO totals VALUES ('x', 1)"
        )
        with pytest.raises(ProjectionError, match="has triggers"):
            await start(stage)
        async with stage.pool.acquire() as connection:
            told = await describe_refill(connection, "totals")
        assert "All rows of totals are deleted (11 of totals)" in told
        await empty(stage)
        await until_live(stage)
    assert await read(stage) == await oracle(stage)
    assert await stage.pool.fetchval("SELECT count(*) FROM large") == 10


async def test_it_is_told_as_long_as_readers_see_a_part(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
    await empty(stage)
    status = await status_of(stage)
    assert (status.rebuild, status.progress, status.position) == (Rebuild.IN_PLACE, 0.0, 0)
    async with working(stage):
        await until_live(stage)
    assert (await status_of(stage)).rebuild is Rebuild.NONE


async def test_rows_that_others_refer_to_are_refused_and_nothing_is_lost(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute(OBSTACLES)
        await stage.pool.execute("INSERT INTO notes VALUES ('s1', 'kept')")
        before = await read(stage)
        refused = "Rows of public.notes refer to rows of totals and would be deleted with them"
        with pytest.raises(ProjectionError, match=refused):
            await empty(stage)
        with pytest.raises(ProjectionError, match=refused):
            async with stage.pool.acquire() as connection:
                await describe_refill(connection, "totals")
        assert await read(stage) == before
        assert await stage.pool.fetchval("SELECT note FROM notes") == "kept"
        assert (await status_of(stage)).position == EVENTS
        await stage.pool.execute("DELETE FROM notes")
        await empty(stage)
        await until_live(stage)
    assert await read(stage) == await oracle(stage)


async def test_letters_are_closed_and_what_was_discarded_stays_out(
    stage: Stage, totals: Totals
) -> None:
    totals.broken = {"o1", "o2"}
    async with working(stage):
        await until_live(stage)
        first = await stage.pool.fetchval("SELECT min(id) FROM sidecar.dead_letters")
        async with stage.pool.acquire() as connection:
            await discard(connection, first, "a test")
        totals.broken = set()
        await empty(stage)
        await until_live(stage)
    closed = await letters(stage)
    assert closed[0] == (2, "discarded", "a test")
    assert {each[1:] for each in closed[1:]} == {("retried", "applied by a rebuild")}
    rows = {stream: events for stream, _, events in await read(stage)}
    assert (rows["s1"], rows["s2"]) == (59, 60)


async def test_an_event_that_still_fails_is_kept_again(stage: Stage, totals: Totals) -> None:
    totals.broken = {"o1"}
    async with working(stage):
        await until_live(stage)
        await empty(stage)
        await until_live(stage)

        async def is_kept() -> bool:
            return len(await letters(stage)) == 2

        await eventually(is_kept)
    assert [each[:2] for each in await letters(stage)] == [(2, "retried"), (2, None)]


async def test_what_is_under_way_beside_comes_first(stage: Stage) -> None:
    await start(stage)
    with pytest.raises(ProjectionError, match="`sidecar projections rebuild totals --cancel`"):
        await empty(stage)


async def test_tables_that_refer_to_each_other_are_emptied_together(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute(
            "CREATE TABLE parts (stream text NOT NULL REFERENCES totals);"
            "INSERT INTO parts VALUES ('s1');"
            "UPDATE sidecar.checkpoints SET tables = ARRAY['totals', 'parts']"
        )
        await empty(stage)
        await until_live(stage)
    assert await read(stage) == await oracle(stage)
    assert await stage.pool.fetchval("SELECT count(*) FROM parts") == 0


async def test_rows_of_a_table_that_inherits_are_no_concern_of_it(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute(
            "CREATE TABLE others () INHERITS (totals); INSERT INTO others VALUES ('other', 1)"
        )
        async with stage.pool.acquire() as connection:
            assert "(10 of totals)" in await describe_refill(connection, "totals")
        await empty(stage)
        await until_live(stage)
    assert await stage.pool.fetchval("SELECT count(*) FROM others") == 1
    assert await stage.pool.fetchval("SELECT count(*) FROM ONLY totals") == 10


async def test_a_paused_projection_stays_paused(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute("UPDATE sidecar.checkpoints SET state = 'paused'")
        await empty(stage)
    assert (await status_of(stage)).status.value == "paused"
    assert await read(stage) == []


async def test_a_rebuild_beside_can_follow(stage: Stage) -> None:
    async with working(stage):
        await until_live(stage)
        await empty(stage)
        async with stage.pool.acquire() as connection:
            await rebuild.start_rebuild(connection, "totals", is_approved=True)
        await until_live(stage)
