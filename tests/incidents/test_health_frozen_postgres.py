import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg
import psutil
import pytest

from tests.incidents.health_prober import probing
from tests.incidents.patience import eventually
from tests.incidents.program import Program, serve
from tests.postgres.cluster import Cluster

# Three answers that fail after a second each, a second apart, and one that was under way.
NOTICE_SECONDS: Final = 3 * 1.0 + 3 * 1.0
PROBES_PER_SECOND: Final = 100.0
OURS: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '% probe%'"


@contextmanager
def frozen(postmaster: int) -> Iterator[None]:
    """Stop a server and all of its backends for the block."""
    os.kill(postmaster, signal.SIGSTOP)
    # From here on no backend can be started.
    backends = [child.pid for child in psutil.Process(postmaster).children()]
    send(backends, signal.SIGSTOP)
    try:
        yield
    finally:
        send([*backends, postmaster], signal.SIGCONT)


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


async def count_connections(cluster: Cluster) -> int:
    connection = await asyncpg.connect(cluster.dsn())
    try:
        return int(await connection.fetchval(OURS))
    finally:
        await connection.close()


def count_files(program: Program) -> int:
    return int(psutil.Process(program.process.pid).num_fds())


async def test_probes_are_answered_while_postgresql_is_frozen(
    tmp_path: Path, private_cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    frozen_seconds = NOTICE_SECONDS + request.config.getoption("--health-seconds") - 3.0
    dsn = private_cluster.dsn(await private_cluster.create_database())
    async with serve(tmp_path, dsn) as program:
        await eventually(program.is_ready)
        before, files_before = await count_connections(private_cluster), count_files(program)
        assert before == 2
        async with probing(program, "/health", "/ready", per_second=PROBES_PER_SECOND) as probers:
            with frozen(private_cluster.pid):
                thaw = asyncio.create_task(asyncio.sleep(frozen_seconds))
                await eventually(program.is_unready, NOTICE_SECONDS)
                await thaw
                assert await program.is_unready()
            await eventually(program.is_ready, NOTICE_SECONDS)
        health, ready = probers
        assert set(health.statuses) == {200}
        assert set(ready.statuses) == {200, 503}
        assert health.late == ready.late == 0
        assert health.statuses.total() > 0.8 * PROBES_PER_SECOND * frozen_seconds

        async def is_as_before() -> bool:
            return await count_connections(private_cluster) <= before

        # Whoever tried to connect meanwhile has hung up; the server notices when it wakes.
        await eventually(is_as_before, NOTICE_SECONDS)
        assert count_files(program) <= files_before + len(probers) * 100
