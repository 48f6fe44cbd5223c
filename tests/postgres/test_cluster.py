import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from tests.postgres.cluster import Cluster, running_cluster
from tests.postgres.eventually import eventually
from tests.postgres.versions import VERSION


async def test_database_is_migrated_and_private(database: str) -> None:
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM sidecar.events") == 0
    assert (await connection.fetchval("SHOW server_version")).startswith(VERSION)
    await connection.close()


async def test_empty_database_has_no_schema(empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    assert await connection.fetchval("SELECT to_regnamespace('sidecar')") is None
    await connection.close()


async def test_server_answers_over_tcp_and_after_a_restart() -> None:
    with running_cluster() as cluster:
        first = cluster.pid
        cluster.stop("immediate")
        cluster.start()
        assert cluster.pid != first
        connection = await asyncpg.connect(cluster.dsn(tcp=True))
        assert await connection.fetchval("SELECT inet_client_addr() IS NOT NULL")
        await connection.close()


def test_server_is_gone_after_a_failure() -> None:
    found: list[Cluster] = []

    def fail() -> None:
        with running_cluster() as cluster:
            found.append(cluster)
            os.kill(cluster.pid, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert found[0]._server is None
    assert not found[0]._folder.exists()


def test_environment_holds_nothing_of_the_product() -> None:
    listing = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    assert "SIDECAR_" not in listing
    assert "DATABASE_URL" not in listing


async def test_server_ends_with_a_process_that_is_killed() -> None:
    program = (
        "import sys\n"
        "from tests.postgres.cluster import running_cluster\n"
        "with running_cluster() as cluster:\n"
        "    print(cluster.pid, cluster._folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    pipe = asyncio.subprocess.PIPE
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=pipe, stdout=pipe
    )
    assert owner.stdout is not None
    pid, folder = (await owner.stdout.readline()).decode().split()
    os.kill(int(pid), 0)
    owner.kill()
    await owner.communicate()

    async def is_gone() -> bool:
        return not await asyncio.to_thread(Path(folder).exists)

    await eventually(is_gone)
