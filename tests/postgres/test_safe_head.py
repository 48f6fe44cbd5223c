"""The safe head against real transactions: what may still come holds it, what cannot does not."""

import asyncio
import time

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.safe_head_follower import SCAN_EVENTS, SafeHeadFollower
from sidecar.projections.safe_head import held_seconds
from tests.postgres.cluster import Cluster
from tests.postgres.eventually import eventually
from tests.postgres.stage import session

INSERT = "INSERT INTO sidecar.events (stream, version, type, data) VALUES ($1, 1, 'Placed', '{}')"
# Draws its position first and then waits for the lock in the default of a later column.
SLOW_DEFAULT = """
    CREATE FUNCTION wait_for_gate() RETURNS timestamptz LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('application_name') = 'slow' THEN
            PERFORM pg_advisory_xact_lock_shared(42);
        END IF;
        RETURN clock_timestamp();
    END $$;
    ALTER TABLE sidecar.events ALTER COLUMN recorded_at SET DEFAULT wait_for_gate();
"""


async def head(follower: SafeHeadFollower, connection: RawConnection) -> int:
    return (await follower.advance(connection)).position


async def skips(connection: RawConnection) -> list[tuple[int, int]]:
    query = "SELECT first_position, last_position FROM sidecar.skipped_positions ORDER BY 1"
    return [tuple(row) for row in await connection.fetch(query)]


async def test_empty_log_has_its_head_at_zero(
    follower: SafeHeadFollower, reader: RawConnection
) -> None:
    assert await head(follower, reader) == 0


async def test_late_committer_holds_the_head_until_its_event_appears(
    follower: SafeHeadFollower, reader: RawConnection, writer: RawConnection
) -> None:
    await reader.execute(INSERT, "a")
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute(INSERT, "late")
    await reader.execute(INSERT, "b")
    assert await head(follower, reader) == 1
    assert await head(follower, reader) == 1
    assert follower.head.highest == 3
    await transaction.commit()
    assert await head(follower, reader) == 3
    assert await skips(reader) == []


async def test_aborted_writer_leaves_a_gap_that_is_skipped_once(
    follower: SafeHeadFollower, reader: RawConnection, writer: RawConnection
) -> None:
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute(INSERT, "a")
    await writer.execute(INSERT, "b")
    await reader.execute(INSERT, "c")
    assert await head(follower, reader) == 0
    await transaction.rollback()
    assert await head(follower, reader) == 3
    assert await skips(reader) == [(1, 2)]
    # Another process finds the same gap, and the same record of it.
    assert await head(SafeHeadFollower(), reader) == 3
    assert await skips(reader) == [(1, 2)]


async def test_hold_names_pid_application_state_and_age(
    follower: SafeHeadFollower, reader: RawConnection, writer: RawConnection
) -> None:
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute(INSERT, "late")
    await reader.execute(INSERT, "b")
    await head(follower, reader)
    (holder,) = follower.writers
    assert holder.pid == writer.get_server_pid()
    assert holder.application_name == "late writer"
    assert holder.state == "idle in transaction"
    assert holder.age_seconds is not None
    assert holder.age_seconds >= 0
    assert held_seconds(follower.head, time.monotonic()) >= 0
    await transaction.rollback()
    await head(follower, reader)
    assert follower.writers == ()
    assert held_seconds(follower.head, time.monotonic()) == 0.0


async def test_reserver_without_transaction_id_holds_the_head(
    database: str, follower: SafeHeadFollower, reader: RawConnection
) -> None:
    await reader.execute(SLOW_DEFAULT)
    # The first draw of a sequence takes a transaction id for its WAL record, the next ones do not.
    await reader.execute(INSERT, "a")
    await reader.execute("SELECT pg_advisory_lock(42)")
    async with session(database, "slow") as slow:
        inserting = asyncio.create_task(slow.execute(INSERT, "slow"))

        async def is_waiting() -> bool:
            query = "SELECT true FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            return await reader.fetchval(query) is True

        await eventually(is_waiting)
        xid = "SELECT backend_xid FROM pg_stat_activity WHERE pid = $1"
        assert await reader.fetchval(xid, slow.get_server_pid()) is None
        await reader.execute(INSERT, "b")
        assert await head(follower, reader) == 1
        assert await head(follower, reader) == 1
        await reader.execute("SELECT pg_advisory_unlock(42)")
        await inserting
    assert await head(follower, reader) == 3
    assert await skips(reader) == []


async def test_long_transactions_elsewhere_do_not_hold_the_head(
    cluster: Cluster, follower: SafeHeadFollower, reader: RawConnection, writer: RawConnection
) -> None:
    await reader.execute("CREATE TABLE other (n int)")
    async with (
        session(cluster.dsn(), "elsewhere") as elsewhere,
        elsewhere.transaction(),
        writer.transaction(),
    ):
        await elsewhere.execute("CREATE TEMP TABLE t AS SELECT pg_current_xact_id()")
        await writer.execute("INSERT INTO other VALUES (1)")
        async with reader.transaction() as _:
            await reader.execute(INSERT, "a")
        await reader.execute("SELECT nextval('sidecar.events_position_seq')")
        await reader.execute(INSERT, "b")
        assert await head(follower, reader) == 3
    assert await skips(reader) == [(2, 2)]


async def test_killed_writer_holds_nothing(
    follower: SafeHeadFollower, reader: RawConnection, writer: RawConnection
) -> None:
    await writer.execute("BEGIN")
    await writer.execute(INSERT, "killed")
    await reader.execute(INSERT, "b")
    assert await head(follower, reader) == 0
    await reader.execute("SELECT pg_terminate_backend($1, 5000)", writer.get_server_pid())
    assert await head(follower, reader) == 2
    assert await skips(reader) == [(1, 1)]


async def test_writers_that_come_after_the_gap_do_not_hold_it(
    database: str, follower: SafeHeadFollower, reader: RawConnection, writer: RawConnection
) -> None:
    first = writer.transaction()
    await first.start()
    await writer.execute(INSERT, "first")
    await reader.execute(INSERT, "b")
    assert await head(follower, reader) == 0
    async with session(database, "second") as second, second.transaction():
        await second.execute(INSERT, "second")
        await first.rollback()
        assert await head(follower, reader) == 2
    assert await head(follower, reader) == 3
    assert await skips(reader) == [(1, 1)]


async def test_head_passes_more_events_than_one_look_takes(
    follower: SafeHeadFollower, reader: RawConnection
) -> None:
    count = 2 * SCAN_EVENTS + 5_000
    await reader.execute(
        "INSERT INTO sidecar.events (stream, version, type, data) "
        "SELECT 'bulk', n, 'Placed', '{}' FROM generate_series(1, $1::int) n",
        count,
    )
    await reader.execute(f"DELETE FROM sidecar.events WHERE position IN (5, {SCAN_EVENTS + 7})")
    assert await head(follower, reader) == count
    assert await skips(reader) == [(5, 5), (SCAN_EVENTS + 7, SCAN_EVENTS + 7)]


async def test_partition_of_the_log_is_watched_too(
    database: str, follower: SafeHeadFollower, reader: RawConnection, writer: RawConnection
) -> None:
    await reader.execute("""
        ALTER TABLE sidecar.events RENAME TO events_old;
        CREATE TABLE sidecar.events (LIKE sidecar.events_old INCLUDING DEFAULTS)
            PARTITION BY RANGE (position);
        CREATE SEQUENCE sidecar.positions CACHE 1;
        ALTER TABLE sidecar.events ALTER position SET DEFAULT nextval('sidecar.positions');
        CREATE TABLE sidecar.events_1 PARTITION OF sidecar.events FOR VALUES FROM (1) TO (1000);
    """)
    await writer.execute("BEGIN")
    # A writer that knows the partition and writes past the parent.
    await writer.execute(
        "INSERT INTO sidecar.events_1 (position, stream, version, type, data) "
        "VALUES (nextval('sidecar.positions'), 'a', 1, 'Placed', '{}')"
    )
    await reader.execute(INSERT, "b")
    assert await head(follower, reader) == 0
    await writer.execute("COMMIT")
    assert await head(follower, reader) == 2
