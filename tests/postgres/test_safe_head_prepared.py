"""Prepared transactions have no backend and outlive a restart; they hold the head all along."""

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.migration import migrate
from tests.postgres.cluster import Cluster
from tests.postgres.stage import session

INSERT = "INSERT INTO sidecar.events (stream, version, type, data) VALUES ($1, 1, 'Placed', '{}')"


async def head(follower: SafeHeadFollower, connection: RawConnection) -> int:
    return (await follower.advance(connection)).position


async def skips(connection: RawConnection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM sidecar.skipped_positions"))


async def test_prepared_transaction_holds_the_head_without_a_backend(
    follower: SafeHeadFollower, reader: RawConnection, writer: RawConnection
) -> None:
    await writer.execute("BEGIN")
    await writer.execute(INSERT, "prepared")
    await writer.execute("PREPARE TRANSACTION 'tx'")
    await reader.execute(INSERT, "b")
    assert await head(follower, reader) == 0
    assert [holder.pid for holder in follower.writers] == [None]
    await reader.execute("COMMIT PREPARED 'tx'")
    assert await head(follower, reader) == 2
    assert await skips(reader) == 0


async def test_transaction_prepared_while_it_is_suspected_still_holds_the_head(
    follower: SafeHeadFollower, reader: RawConnection, writer: RawConnection
) -> None:
    await writer.execute("BEGIN")
    await writer.execute(INSERT, "prepared")
    await reader.execute(INSERT, "b")
    assert await head(follower, reader) == 0
    await writer.execute("PREPARE TRANSACTION 'tx'")
    assert await head(follower, reader) == 0
    await reader.execute("COMMIT PREPARED 'tx'")
    assert await head(follower, reader) == 2
    assert await skips(reader) == 0


async def test_prepared_transaction_holds_the_head_across_a_restart(
    private_cluster: Cluster, follower: SafeHeadFollower
) -> None:
    async with session(private_cluster.dsn()) as reader, session(private_cluster.dsn()) as writer:
        await migrate(reader)
        await writer.execute("BEGIN")
        await writer.execute(INSERT, "prepared")
        await reader.execute(INSERT, "b")
        assert await head(follower, reader) == 0
        await writer.execute("PREPARE TRANSACTION 'tx'")
    private_cluster.stop()
    private_cluster.start()
    async with session(private_cluster.dsn()) as reader:
        assert await head(follower, reader) == 0
        await reader.execute("COMMIT PREPARED 'tx'")
        assert await head(follower, reader) == 2
        assert await skips(reader) == 0
