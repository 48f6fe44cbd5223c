"""A server that answers and takes no writes does not pass."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from sidecar.health.check_runner import CheckRunner
from sidecar.health.outcome import CheckResult, Outcome
from sidecar.postgres.samples.database_poller import DatabasePoller
from sidecar.postgres.samples.ping import Ping
from sidecar.wiring.checks.database import migrations_check, postgres_check
from tests.postgres.cluster import Cluster, running_cluster
from tests.postgres.stage import session


async def ask(ping: Ping) -> CheckResult:
    return await CheckRunner(postgres_check(ping)).ask()


async def test_a_database_set_read_only_fails_on_every_replica_and_recovers(database: str) -> None:
    replicas = [Ping(database, application_name=f"replica {number}") for number in range(2)]
    async with session(database) as admin:
        name = await admin.fetchval("SELECT quote_ident(current_database())")
        await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        try:
            for answer in [await ask(ping) for ping in replicas]:
                assert (answer.outcome, answer.reason) == (Outcome.FAIL, "postgres.read-only")
                assert answer.cause == "read-only"
                assert f"ALTER DATABASE {name} RESET default_transaction_read_only" in answer.detail
            # Nothing is to be migrated, so that a replica that starts now says the same.
            watch = DatabasePoller(database, application_name="watch", auto_migrate=True)
            await watch.poll()
            assert (await CheckRunner(migrations_check(watch)).ask()).outcome is Outcome.PASS
            watch._drop()
        finally:
            await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        # No session of ours has to be ended by hand.
        assert [(await ask(ping)).outcome for ping in replicas] == [Outcome.PASS] * 2
    for ping in replicas:
        ping.close()


async def test_a_session_that_reads_only_by_its_role_is_told(
    cluster: Cluster, database: str
) -> None:
    role = f"reader_{database.rpartition('test_')[2].partition('?')[0]}"
    await cluster.execute(f"CREATE ROLE {role} LOGIN")
    try:
        await cluster.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
        answer = await ask(Ping(database.replace("postgres@", f"{role}@"), application_name="x"))
        assert answer.reason == "postgres.read-only"
        assert "ALTER ROLE" in answer.detail
    finally:
        await cluster.execute(f"DROP ROLE {role}")


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[Cluster]:
    """Run a server that waits for records of a primary, and takes reads meanwhile."""
    with running_cluster() as cluster:
        data = Path(asyncio.run(_data_directory(cluster)))
        cluster.stop("fast")
        (data / "standby.signal").touch()
        cluster.start()
        yield cluster


async def _data_directory(cluster: Cluster) -> str:
    connection = await asyncpg.connect(cluster.dsn())
    try:
        return str(await connection.fetchval("SHOW data_directory"))
    finally:
        await connection.close()


async def test_a_standby_is_told_from_a_setting(standby: Cluster) -> None:
    ping = Ping(standby.dsn(), application_name="test")
    answer = await ask(ping)
    assert (answer.reason, answer.cause) == ("postgres.read-only", "standby")
    assert "target_session_attrs=read-write" in answer.detail
    ping.close()
