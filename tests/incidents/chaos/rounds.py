"""One fault after another, each followed until the work has gone on."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.transient import is_transient
from tests.beside import beside
from tests.incidents.chaos.replica import Replicas
from tests.incidents.ledger import ACCOUNTS, WRITE_PAUSE_SECONDS, Ledger, Rows
from tests.incidents.patience import eventually
from tests.postgres.cluster import Cluster

RECOVERY_SECONDS: Final = 20.0
# A writer that is so far ahead waits. The slowest projection syncs the disk for each event: on a
# slow one, a backlog from before a fault would be counted as time to recover.
MAX_LEAD_EVENTS: Final = 500

_TERMINATE: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE application_name LIKE $1 ORDER BY random() LIMIT 1
"""
_HEAD: Final = "SELECT coalesce(max(position), 0) FROM sidecar.events"
# Of the partition that is furthest behind.
_PROGRESS: Final = "SELECT coalesce(min(position), 0) FROM sidecar.checkpoints"
_LEAD: Final = f"SELECT ({_HEAD}) - ({_PROGRESS})"
_ORDERS: Final = (
    "SELECT stream, array_agg(version ORDER BY {order}) FROM {table} GROUP BY 1 ORDER BY 1"
)


@asynccontextmanager
async def paying(ledger: Ledger) -> AsyncIterator[None]:
    """Append on and on for the length of the block, whatever becomes of the server meanwhile."""

    async def pay() -> None:
        account = 0
        while True:
            try:
                if await ledger.value(_LEAD) < MAX_LEAD_EVENTS:
                    await ledger.pay(f"a{account % ACCOUNTS:02}")
            except (StoreUnavailableError, OSError, asyncpg.InterfaceError):
                ledger.outages += 1
            except asyncpg.PostgresError as error:
                if not is_transient(error):
                    raise
                ledger.outages += 1
            account += 1
            await asyncio.sleep(WRITE_PAUSE_SECONDS)

    async with beside(pay()):
        yield


class Rounds:
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


async def expect_order(ledger: Ledger, *books: str) -> None:
    """Every event had its effect once, and each stream's in order."""
    right = await _read_orders(ledger, "sidecar.events", "position")
    for book in books:
        found = await _read_orders(ledger, f"{book}_lines", "line")
        assert found == right, book


async def _read_orders(ledger: Ledger, table: str, order: str) -> Rows:
    return await ledger.query(_ORDERS.format(table=table, order=order))
