"""Worker processes as replicas over one database, and what can happen to them."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.transience import is_transient
from tests.incidents.ledger import ACCOUNTS, WRITE_PAUSE_SECONDS, Ledger, Rows
from tests.incidents.patience import eventually
from tests.incidents.program import Program, launch
from tests.postgres.cluster import Cluster

REPOSITORY: Final = Path(__file__).resolve().parents[2]
RECOVERY_SECONDS: Final = 20.0

_LEASES: Final = """
SELECT pid, count(*) FROM pg_locks
WHERE locktype = 'advisory' AND classid = 7236174 AND granted GROUP BY pid ORDER BY pid
"""
_TERMINATE: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE application_name LIKE $1 ORDER BY random() LIMIT 1
"""
_HEAD: Final = "SELECT coalesce(max(position), 0) FROM sidecar.events"
# Of the partition that is furthest behind.
_PROGRESS: Final = "SELECT coalesce(min(position), 0) FROM sidecar.checkpoints"
_ORDERS: Final = (
    "SELECT stream, array_agg(version ORDER BY {order}) FROM {table} GROUP BY 1 ORDER BY 1"
)


class Replicas:
    """Workers of one target; each that ends is replaced.

    Args:
        folder: Where they run and log.
        dsn: Their database.
        target: What they run.
    """

    def __init__(self, folder: Path, dsn: str, target: str) -> None:
        self.programs: Final[list[Program]] = []
        self._folder: Final = folder
        self._environ: Final[Mapping[str, str]] = {
            "PYTHONPATH": str(REPOSITORY),
            "ENVIRONMENT": "development",
            "DATABASE_URL": dsn,
            "DB_POOL_MAX_SIZE": "8",
            "SIDECAR_AGENT_PORT": "0",
        }
        self._target: Final = target
        self._stacks: Final[list[AsyncExitStack]] = []

    async def start(self) -> None:
        """Start one more."""
        stack = AsyncExitStack()
        program = await stack.enter_async_context(
            launch(self._folder, "run", self._target, **self._environ)
        )
        self.programs.append(program)
        self._stacks.append(stack)

    async def kill(self, index: int) -> None:
        """End one as the kernel does when memory runs out."""
        program, stack = self.programs.pop(index), self._stacks.pop(index)
        await program.kill()
        await stack.aclose()

    async def close(self) -> None:
        while self.programs:
            await self.kill(0)


@asynccontextmanager
async def paying(ledger: Ledger) -> AsyncIterator[None]:
    """Append on and on for the length of the block, whatever becomes of the server meanwhile."""

    async def pay() -> None:
        account = 0
        while True:
            try:
                await ledger.pay(f"a{account % ACCOUNTS:02}")
            except (StoreUnavailableError, OSError, asyncpg.InterfaceError):
                ledger.outages += 1
            except asyncpg.PostgresError as error:
                if not is_transient(error):
                    raise
                ledger.outages += 1
            account += 1
            await asyncio.sleep(WRITE_PAUSE_SECONDS)

    task = asyncio.create_task(pay())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def replicas(folder: Path, dsn: str, target: str, count: int = 2) -> AsyncIterator[Replicas]:
    """Run so many workers for the length of the block."""
    crew = Replicas(folder, dsn, target)
    try:
        for _ in range(count):
            await crew.start()
        yield crew
    finally:
        await crew.close()


class Chaos:
    """Does one thing after another to replicas and their server, by chance.

    Attributes:
        done: Faults by name.
        slowest_seconds: Longest time until the work went on after a fault.
    """

    def __init__(
        self, crew: Replicas, ledger: Ledger, cluster: Cluster, chance: random.Random
    ) -> None:
        self.done: Final[Counter[str]] = Counter()
        self.slowest_seconds = 0.0
        self._crew: Final = crew
        self._ledger: Final = ledger
        self._cluster: Final = cluster
        self._chance: Final = chance
        self._faults: Final = (
            self.kill_worker,
            self.end_backend,
            self.restart_postgres,
            self.end_lease,
        )

    async def play_round(self) -> None:
        """Make one fault, and see the work go on up to a chance moment, that of the next fault."""
        fault = self._chance.choice(self._faults)
        await fault()
        began_mono = time.monotonic()
        await self.wait_for_progress()
        self.done[fault.__name__] += 1
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began_mono)

    async def wait_for_progress(self) -> None:
        """Wait until every partition is beyond what is in the log now, by chance more or less."""
        goal = await self._ledger.value(_HEAD) + self._chance.randint(1, 100)

        async def is_reached() -> bool:
            return bool(await self._ledger.value(_PROGRESS) >= goal)

        await eventually(is_reached, RECOVERY_SECONDS)

    async def kill_worker(self) -> None:
        await self._crew.kill(self._chance.randrange(len(self._crew.programs)))
        await self._crew.start()

    async def end_backend(self) -> None:
        await self._ledger.query(_TERMINATE, "% pool")

    async def end_lease(self) -> None:
        await self._ledger.query(_TERMINATE, "% lease")

    async def restart_postgres(self) -> None:
        await asyncio.to_thread(self._cluster.stop)
        await asyncio.to_thread(self._cluster.start)


async def leases(ledger: Ledger) -> dict[int, int]:
    """Return how many leases each session holds."""
    return {int(pid): int(count) for pid, count in await ledger.query(_LEASES)}


async def expect_order(ledger: Ledger, *books: str) -> None:
    """Every event had its effect once, and each stream's in order."""
    right = await _read_orders(ledger, "sidecar.events", "position")
    for book in books:
        found = await _read_orders(ledger, f"{book}_lines", "line")
        assert found == right, book


async def _read_orders(ledger: Ledger, table: str, order: str) -> Rows:
    return await ledger.query(_ORDERS.format(table=table, order=order))
