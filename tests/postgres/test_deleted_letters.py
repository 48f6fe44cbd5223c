"""A dead letter deleted by SQL leaves a trace; what the sidecar itself deletes leaves none."""

import uuid

import pytest

from sidecar.postgres.dead_letters.dead_letter import discard
from sidecar.postgres.dead_letters.letter_deletions import accept_deleted, list_deleted
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.rebuild.rebuild import replay_handler
from sidecar.postgres.samples.sample import take_sample
from sidecar.projections.projection_status import ProjectionStatus
from sidecar.projections.retry import RetryPolicy
from sidecar.wiring.checks.read_model import judge_projection
from sidecar.wiring.decision import Decision, decide
from tests.postgres import rebuilding
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import BrokenOrderError, Journal, Placed
from tests.postgres.stage import Stage, fetchval, open_stage, session

DELETE_ALL = "DELETE FROM sidecar.dead_letters"
TRACES = "SELECT count(*) FROM sidecar.deleted_dead_letters"


async def park(stage: Stage, totals: Totals, *orders: str) -> None:
    """Park the streams, each with one event that waits behind the one that failed."""
    totals.broken = set(orders)
    for order in orders:
        await stage.place(order, 1000)
        await stage.place(order, 5, order="fine")
    await stage.place("other", 1)
    await stage.catch_up()
    totals.broken = set()


async def status_of(stage: Stage) -> ProjectionStatus:
    async with session(stage.dsn) as connection:
        (projection,) = (await take_sample(connection, SafeHeadFollower())).projections
    return projection


@pytest.mark.parametrize("statement", [DELETE_ALL, "TRUNCATE sidecar.dead_letters"])
@pytest.mark.parametrize("partitions", [1, 3])
async def test_deleted_dead_letters_are_told_until_the_read_model_is_rebuilt(
    database: str, partitions: int, statement: str
) -> None:
    totals = Totals(partitions=partitions)
    async with open_stage(database, totals) as stage:
        await park(stage, totals, "a", "b")
        await fetchval(database, statement)
        async with session(database) as connection:
            deleted = (await list_deleted(connection))["totals"]
        assert (deleted.letters, deleted.events, deleted.roles) == (2, 4, ("postgres",))
        status = await status_of(stage)
        assert status.deleted == deleted
        assert "so 4 events are missing: `sidecar projections rebuild totals`" in str(status.detail)
        reason = judge_projection("projection-totals", status, 0.0, 60.0).reason
        assert reason in {"projection-totals.dead-letters-deleted", "projection-totals.unowned"}
        async with rebuilding.working(stage):
            await rebuilding.start(stage)
            await rebuilding.until_swapped(stage)
            await rebuilding.until_live(stage)
        assert (await status_of(stage)).deleted is None
        assert {row[0]: row[1] for row in await rebuilding.read(stage)} == {
            "a": 1005,
            "b": 1005,
            "other": 1,
        }


async def test_a_role_that_may_only_delete_can_delete_and_is_named(database: str) -> None:
    totals = Totals()
    async with open_stage(database, totals) as stage:
        await park(stage, totals, "a")
        role = f"cleaner_{uuid.uuid4().hex[:8]}"
        async with session(database) as connection:
            try:
                await connection.execute(
                    f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA sidecar TO {role};"
                    f"GRANT SELECT, DELETE ON sidecar.dead_letters TO {role};"
                    f"SET SESSION AUTHORIZATION {role}"
                )
                assert await connection.execute(DELETE_ALL) == "DELETE 1"
                await connection.execute("RESET SESSION AUTHORIZATION")
                assert (await list_deleted(connection))["totals"].roles == (role,)
            finally:
                await connection.execute(
                    f"RESET SESSION AUTHORIZATION; DROP OWNED BY {role}; DROP ROLE {role}"
                )


async def test_what_is_accepted_is_told_no_more(database: str) -> None:
    totals = Totals()
    async with open_stage(database, totals) as stage:
        await park(stage, totals, "a")
        await fetchval(database, DELETE_ALL)
        async with session(database) as connection:
            said = await decide(connection, None, "totals", Decision("a test order"))
            assert said == "it goes on without 2 event(s) of deleted dead letters"
            assert await list_deleted(connection) == {}
            assert await accept_deleted(connection, "totals", "again") == 0
            again = await decide(connection, None, "totals", Decision("again"))
            assert again == "there is nothing to accept"
        kept = "SELECT reason FROM sidecar.acceptances WHERE what LIKE '2 events of 1 deleted%'"
        assert await fetchval(database, kept) == "a test order"


async def test_what_the_sidecar_deletes_or_settles_leaves_no_trace(database: str) -> None:
    journal = Journal()
    journal.broken = {"a", "b"}
    policy = RetryPolicy(park_seconds=0.01)
    async with open_stage(database, journal, policy=policy) as stage:
        await stage.place("a", 1, 2)
        await stage.place("b", 1, 2)
        stage.start()
        await stage.settle()
        journal.broken = set()
        await stage.until_retried()
        await stage.stop()
        assert len(await stage.lines()) == 4
        # Retention deletes what is settled.
        await fetchval(database, DELETE_ALL)
        assert await fetchval(database, TRACES) == 0


async def test_an_event_that_waits_for_its_next_try_is_missed_as_well(database: str) -> None:
    async with open_stage(database, Journal()) as stage:
        await stage.place("a", 1, 2)
        waiting = (
            "INSERT INTO sidecar.dead_letters (projection, stream, position, version, event_id, "
            "event_type, category, error_type, error_message, traceback, attempts) SELECT "
            "'journal', stream, position, version, id, type, 'retry', 'E', '', '', 1 "
            "FROM sidecar.events WHERE position = 1"
        )
        await fetchval(database, waiting)
        await fetchval(database, DELETE_ALL)
        assert await fetchval(database, TRACES) == 1


async def test_a_letter_of_an_event_that_was_erased_lacks_nothing(database: str) -> None:
    totals = Totals()
    async with open_stage(database, totals) as stage:
        await park(stage, totals, "a")
        await fetchval(database, DELETE_ALL)
        await fetchval(database, "DELETE FROM sidecar.events WHERE stream = 'a'")
        async with session(database) as connection:
            assert await list_deleted(connection) == {}


class Mails:
    """A handler that fails for one amount."""

    name = "mails"

    async def handle(self, event: Placed) -> None:
        if event.amount == 13:
            raise BrokenOrderError


async def test_a_handler_hears_of_every_event_again_or_goes_on_without(database: str) -> None:
    async with open_stage(database, handlers=[Mails()]) as stage:
        await stage.place("a", 1, 13)
        await stage.catch_up()
        await fetchval(database, DELETE_ALL)
        async with session(database) as connection:
            assert "rebuild mails --replay-effects" in str((await status_of(stage)).detail)
            await replay_handler(connection, "mails")
            assert await list_deleted(connection) == {}


async def test_what_was_discarded_stays_so_when_its_dead_letter_is_gone(database: str) -> None:
    totals = Totals()
    async with open_stage(database, totals) as stage:
        await park(stage, totals, "a")
        async with session(database) as connection:
            for letter in await stage.letters():
                await discard(connection, letter["id"], "a test order")
        await stage.retry()
        await fetchval(database, "DELETE FROM sidecar.dead_letters WHERE resolution IS NOT NULL")
        assert await fetchval(database, TRACES) == 0
        for _ in range(2):
            async with rebuilding.working(stage):
                await rebuilding.start(stage)
                await rebuilding.until_swapped(stage)
                await rebuilding.until_live(stage)
            rows = {row[0]: row[1] for row in await rebuilding.read(stage)}
            assert rows == {"a": 5, "other": 1}
