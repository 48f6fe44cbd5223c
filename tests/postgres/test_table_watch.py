"""What is told of a read model's tables between two verifications, and what is not."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import pytest
from typing_extensions import override

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.block import remove
from sidecar.postgres.checkpoints.checkpoint import prepare
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.migration import migrate
from sidecar.postgres.samples.sample import take_sample
from sidecar.postgres.tables import table_watch
from sidecar.postgres.tables.table_marks import accept_changes, mark_after_setup, mark_tables
from sidecar.postgres.tables.table_watch import TableWatch
from sidecar.wiring.decision import Decision, decide
from tests.postgres import rebuilding, verifying
from tests.postgres.cluster import Cluster
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals
from tests.postgres.shop import Placed
from tests.postgres.stage import Stage, open_stage, session

STREAMS: Final = 30
GHOST: Final = "INSERT INTO totals VALUES ('ghost', 1, 1)"
FLUSH: Final = "SELECT pg_stat_force_next_flush()"
MAKE: Final = (
    "CREATE TABLE totals (stream text PRIMARY KEY, amount bigint NOT NULL, "
    "events bigint NOT NULL DEFAULT 1)"
)


async def by_hand(stage: Stage, *statements: str) -> None:
    """Run statements as somebody else would, and have the server count them at once."""
    async with session(stage.dsn, "psql") as connection:
        for statement in statements:
            await connection.execute(statement)
        await connection.execute(FLUSH)


async def look(stage: Stage, watch: TableWatch | None = None) -> Mapping[str, list[str]]:
    async with session(stage.dsn) as connection:
        told = await (watch or TableWatch()).look(connection)
    return {name: [each.change.value for each in changes] for name, changes in told.items()}


async def fill(stage: Stage) -> TableWatch:
    """Fill the read model and let the server count it; return a watch that has seen it."""
    await rebuilding.fill(stage, STREAMS * 2, STREAMS)
    await stage.catch_up()
    await count_all(stage)
    watch = TableWatch()
    assert await look(stage, watch) == {}
    return watch


async def count_all(stage: Stage) -> None:
    """Have the sessions of the pool report what they wrote."""
    async with AsyncExitStack() as stack:
        for _ in range(4):
            connection = await stack.enter_async_context(stage.pool.acquire())
            await connection.execute(FLUSH)


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["TRUNCATE totals"], "emptied"),
        (["TRUNCATE totals", "INSERT INTO totals VALUES ('s1', 1, 1)"], "emptied"),
        (["DROP TABLE totals", MAKE], "replaced"),
        (["ALTER TABLE totals RENAME TO kept", MAKE], "replaced"),
        (["VACUUM FULL totals"], "rewritten"),
        (["CLUSTER totals USING totals_pkey"], "rewritten"),
        (["ALTER TABLE totals ALTER amount TYPE numeric"], "rewritten"),
        (["VACUUM (ANALYZE, FREEZE) totals"], None),
        (["ALTER TABLE totals ADD COLUMN note text DEFAULT 'none'"], None),
        (["CREATE INDEX ON totals (amount)", "REINDEX TABLE totals"], None),
        (["BEGIN", "TRUNCATE totals", "ROLLBACK"], None),
        (["BEGIN", "DELETE FROM totals", "ROLLBACK"], None),
        (["BEGIN", "UPDATE totals SET amount = 0", GHOST, "ROLLBACK"], None),
        (["ALTER TABLE totals RENAME TO kept", "ALTER TABLE kept RENAME TO totals"], None),
        (["SELECT pg_stat_reset()"], None),
        (["UPDATE totals SET amount = 0 WHERE stream = 's1'"], "written"),
        ([GHOST], "written"),
    ],
)
async def test_what_somebody_else_did_is_told_and_nothing_else(
    database: str, statements: list[str], told: str | None
) -> None:
    async with open_stage(database, Totals()) as stage:
        watch = await fill(stage)
        await by_hand(stage, *statements)
        expected = {"totals": [told]} if told else {}
        assert await look(stage, watch) == expected
        # It stays told, also to one that has just begun to look.
        await stage.place("s1", 1)
        await stage.catch_up()
        assert await look(stage, watch) == await look(stage) == expected


class Wiped(Totals):
    """Empties its read model now and then."""

    wipe = ""

    @override
    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        if event.order == "wipe":
            await connection.execute(self.wipe)
        await super().handle(event, connection, record)


@pytest.mark.parametrize("wipe", ["TRUNCATE totals", "delete from only totals as t"])
async def test_what_its_own_projection_empties_is_no_loss(database: str, wipe: str) -> None:
    wiped = Wiped()
    wiped.wipe = wipe
    async with open_stage(database, wiped) as stage:
        watch = await fill(stage)
        await stage.place("s1", 1, order="wipe")
        await stage.catch_up()
        assert await look(stage, watch) == {}
        await count_all(stage)
        assert await look(stage, watch) == await look(stage) == {}
        await by_hand(stage, "TRUNCATE totals")
        assert await look(stage, watch) == {"totals": ["emptied"]}


async def test_a_verification_that_finds_no_difference_settles_it(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        watch = await fill(stage)
        await by_hand(stage, "VACUUM FULL totals")
        assert await look(stage, watch) == {"totals": ["rewritten"]}
        async with verifying.working(stage):
            assert (await verifying.verify(stage)).state == "equal"
        assert await look(stage, watch) == {}
        await by_hand(stage, "TRUNCATE totals")
        assert await look(stage, watch) == {"totals": ["emptied"]}
        async with verifying.working(stage):
            assert (await verifying.verify(stage)).state == "drifted"
            assert await look(stage, watch) == {"totals": ["emptied"]}
            await rebuilding.start(stage)
            await rebuilding.until_swapped(stage)
        assert await look(stage, watch) == await look(stage) == {}


async def test_what_is_done_while_it_is_verified_is_not_settled(
    database: str,
) -> None:
    async with open_stage(database, Totals()) as stage:
        watch = await fill(stage)
        async with session(stage.dsn) as connection:
            await verifying.start(stage)
            await by_hand(stage, "VACUUM FULL totals")
            assert await look(stage, watch) == {"totals": ["rewritten"]}
            async with verifying.working(stage):
                assert (await verifying.until_ended(stage)).state == "equal"
            assert await look(stage, watch) == {"totals": ["rewritten"]}
            accepted = await decide(connection, None, "totals", Decision("vacuumed"))
            assert "totals" in accepted
            kept = "SELECT what, reason FROM sidecar.acceptances"
            assert [tuple(row) for row in await connection.fetch(kept)] == [
                ("changed tables: totals", "vacuumed")
            ]
            assert await look(stage, watch) == {}
            again = await decide(connection, None, "totals", Decision("again"))
            assert again == "there is nothing to accept"


class Scripted(Totals):
    """Has a setup of any statements after the usual one."""

    script: Sequence[str] = ()

    async def setup(self, connection: Connection) -> None:
        await super().setup(connection)
        for statement in self.script:
            await connection.execute(statement)


async def test_its_own_setup_may_change_its_tables(database: str) -> None:
    totals = Scripted()
    async with open_stage(database, totals) as stage, session(database) as connection:
        subscription = stage.subscriptions["totals"]
        watch = await fill(stage)
        totals.script = ["ALTER TABLE totals ALTER amount TYPE numeric"]
        await prepare(connection, subscription)
        assert await look(stage, watch) == {}
        totals.script = [
            "CREATE TABLE other AS SELECT * FROM totals",
            "DROP TABLE totals",
            "ALTER TABLE other RENAME TO totals",
        ]
        await prepare(connection, subscription)
        assert await look(stage, watch) == {}


async def test_a_setup_beside_a_swap_marks_the_table_that_was_swapped_in(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        await fill(stage)
        async with session(database, "swap") as swap, session(database, "setup") as setup:
            async with swap.transaction():
                await swap.execute("ALTER TABLE totals RENAME TO kept")
                await swap.execute(MAKE)
                await swap.execute("INSERT INTO totals TABLE kept")
                await mark_tables(swap, "totals", settles=True)
                marking = asyncio.create_task(mark_in_setup(setup))
                await eventually(
                    lambda: stage.pool.fetchval(
                        "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
                    )
                )
            await marking
        assert await look(stage) == {}


async def mark_in_setup(connection: RawConnection) -> None:
    async with connection.transaction():
        await mark_after_setup(connection, "totals")


async def test_a_dropped_table_that_a_setup_makes_again_is_told(database: str) -> None:
    async with open_stage(database, Totals()) as stage, session(database) as connection:
        watch = await fill(stage)
        await by_hand(stage, "DROP TABLE totals")
        # Where there is none, nobody is served wrong data.
        assert await look(stage, watch) == {}
        for _ in range(2):
            await prepare(connection, stage.subscriptions["totals"])
            assert await look(stage, watch) == await look(stage) == {"totals": ["replaced"]}


async def test_what_was_done_while_no_worker_ran_is_told_at_a_start(database: str) -> None:
    async with open_stage(database, Totals()) as stage, session(database) as connection:
        await fill(stage)
        await prepare(connection, stage.subscriptions["totals"])
        await by_hand(stage, "TRUNCATE totals")
        await prepare(connection, stage.subscriptions["totals"])
        sample = await take_sample(connection, SafeHeadFollower())
    (status,) = sample.projections
    assert (status.lost_tables, status.worst_change) == (1, "emptied")
    assert "table totals lost all of its rows at once" in str(status.detail)


class Cache(Totals):
    """A read model that need not outlive a crash."""

    @override
    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            MAKE.replace("CREATE TABLE", "CREATE UNLOGGED TABLE IF NOT EXISTS")
        )


@pytest.mark.parametrize("is_told_at_a_start", [False, True])
async def test_what_a_crash_of_the_server_takes_is_told(
    private_cluster: Cluster, *, is_told_at_a_start: bool
) -> None:
    dsn = private_cluster.dsn()
    async with session(dsn) as connection:
        await migrate(connection)
    async with open_stage(dsn, Cache()) as stage:
        watch = await fill(stage)
    await asyncio.to_thread(private_cluster.stop, "immediate")
    await asyncio.to_thread(private_cluster.start)
    async with open_stage(dsn, Cache()) as stage:
        # Its projection goes on at once, and hides that it was empty.
        await stage.place("s1", 1)
        await stage.catch_up()
        assert await stage.pool.fetchval("SELECT count(*) FROM totals") == 1
        await count_all(stage)
        told = {"totals": ["crashed"]}
        assert await look(stage, TableWatch() if is_told_at_a_start else watch) == told
        async with session(dsn) as connection:
            assert await accept_changes(connection, "totals", "it is a cache") == ["totals"]
        assert await look(stage, watch) == await look(stage) == {}


async def test_a_restart_takes_nothing_and_is_not_told(private_cluster: Cluster) -> None:
    dsn = private_cluster.dsn()
    async with session(dsn) as connection:
        await migrate(connection)
    async with open_stage(dsn, Cache()) as stage:
        watch = await fill(stage)
    await asyncio.to_thread(private_cluster.stop, "fast")
    await asyncio.to_thread(private_cluster.start)
    async with open_stage(dsn, Cache()) as stage:
        await by_hand(stage, "SELECT pg_stat_reset()")
        await stage.place("s1", 1)
        await stage.catch_up()
        await count_all(stage)
        assert await stage.pool.fetchval("SELECT count(*) FROM totals") == STREAMS
        assert await look(stage, watch) == await look(stage) == {}


async def test_rows_that_somebody_deletes_are_told_as_far_as_the_server_counts(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_watch, "SETTLED_SECONDS", 0.0)
    async with open_stage(database, Totals()) as stage:
        watch = await fill(stage)
        await look(stage, watch)
        await by_hand(stage, "DELETE FROM totals WHERE stream = 's1'")
        assert await look(stage, watch) == {"totals": ["written"]}


async def test_a_table_emptied_by_delete_is_told_while_its_projection_runs(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        watch = await fill(stage)
        await by_hand(stage, "DELETE FROM totals")
        await stage.place("s1", 1, 2)
        await stage.catch_up()
        assert await look(stage, watch) == {"totals": ["emptied"]}


async def test_letters_that_are_taken_up_are_the_projections_own(database: str) -> None:
    totals = Totals()
    totals.broken = {"bad"}
    async with open_stage(database, totals) as stage:
        await stage.place("bad", 1, order="bad")
        watch = await fill(stage)
        totals.broken = set()
        await stage.ask_retry()
        stage.start()
        await stage.until_retried()
        await count_all(stage)
        assert await look(stage, watch) == {}
        await stage.stop()
        await count_all(stage)
        assert await look(stage, watch) == {}


async def test_a_role_without_rights_on_the_tables_looks_all_the_same(database: str) -> None:
    async with open_stage(database, Totals()) as stage:
        watch = await fill(stage)
        async with session(database) as connection:
            await connection.execute(
                "DROP ROLE IF EXISTS looker; CREATE ROLE looker; "
                "GRANT USAGE ON SCHEMA sidecar TO looker; "
                "GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA sidecar TO looker; "
                "SET ROLE looker"
            )
            await by_hand(stage, GHOST)
            assert await watch.look(connection) == {}
            await by_hand(stage, "TRUNCATE totals")
            (change,) = (await watch.look(connection))["totals"]
            await connection.execute("RESET ROLE; DROP OWNED BY looker; DROP ROLE looker")
        assert change.change == "emptied"


class Elsewhere:
    """Fills tables whose names need quotes, in other schemas, in parts."""

    handles = (Placed,)
    name = "Order's totals"
    tables = ('"Über all"."Tot.als ""1"""', "parts")

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            'CREATE SCHEMA IF NOT EXISTS "Über all"; '
            f"CREATE TABLE IF NOT EXISTS {self.tables[0]} (id bigint PRIMARY KEY);"
            "CREATE TABLE IF NOT EXISTS parts (id bigint) PARTITION BY RANGE (id);"
            "CREATE TABLE IF NOT EXISTS part PARTITION OF parts DEFAULT"
        )

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        for table in self.tables:
            await connection.execute(f"INSERT INTO {table} VALUES ($1)", record.position)


async def test_names_in_quotes_are_looked_up_and_parts_are_left_alone(database: str) -> None:
    async with open_stage(database, Elsewhere()) as stage:
        watch = await fill(stage)
        await by_hand(stage, "TRUNCATE parts")
        assert await look(stage, watch) == {}
        await by_hand(stage, f"TRUNCATE {Elsewhere.tables[0]}")
        assert await look(stage, watch) == {"Order's totals": ["emptied"]}
        async with session(database) as connection:
            await remove(connection, "Order's totals")
            assert await look(stage, watch) == {}
            assert await accept_changes(connection, "Order's totals", "gone") == []


async def test_a_look_costs_the_same_however_many_tables_there_are(database: str) -> None:
    names = [f"totals{number}" for number in range(12)]
    async with open_stage(database, *map(Totals, names)), session(database) as connection:
        watch = TableWatch()
        await watch.look(connection)
        queries: list[str] = []
        with connection.query_logger(lambda query: queries.append(query.query)):
            assert await watch.look(connection) == {}
            await asyncio.sleep(0)
        assert len(queries) == 1
