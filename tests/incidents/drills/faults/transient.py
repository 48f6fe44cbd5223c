"""What goes wrong and passes by itself: whoever is interrupted tries again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg

from tests.incidents.drills.drill import Drill, Log, Metric, Signals
from tests.incidents.drills.stand import Stand

RESTARTS: Final = 3
RESTART_PAUSE_SECONDS: Final = 3.0
# By then an order of the next batch has come, and its projection waits for us.
MEETING_SECONDS: Final = 0.3


@asynccontextmanager
async def restarted(stand: Stand) -> AsyncIterator[None]:
    for _ in range(RESTARTS):
        await asyncio.to_thread(stand.cluster.stop, "immediate")
        await asyncio.to_thread(stand.cluster.start)
        await asyncio.sleep(RESTART_PAUSE_SECONDS)
    yield


@asynccontextmanager
async def deadlocked(stand: Stand) -> AsyncIterator[None]:
    storm = asyncio.create_task(deadlock_on(stand))
    yield
    storm.cancel()
    with suppress(asyncio.CancelledError):
        await storm


async def deadlock_on(stand: Stand) -> None:
    """Lock read model and checkpoint, in the order opposite to the projection's, on and on."""
    connection = await asyncpg.connect(stand.dsn)
    try:
        # The other side looks for a deadlock first, so that it is the one to be cut off.
        await connection.execute("SET deadlock_timeout = '60s'")
        while True:
            async with connection.transaction():
                await connection.execute("SELECT * FROM order_totals FOR UPDATE")
                await asyncio.sleep(MEETING_SECONDS)
                await connection.execute(
                    "SELECT * FROM sidecar.checkpoints WHERE projection = 'order_totals' FOR UPDATE"
                )
            await asyncio.sleep(MEETING_SECONDS)
    finally:
        connection.terminate()


DRILLS: Final = (
    Drill(
        name="PostgreSQL restarted under load",
        injected=f"immediate shutdown and start, {RESTARTS} times in a row",
        fault=restarted,
        signals=Signals(
            alert=None,
            check=None,
            metric=Metric('sum(sidecar_pool_closed_total{process="worker-1"}) > 0'),
            # The session that holds the leases ended, and another one took them.
            log=Log("sidecar.lease.taken"),
            letter=None,
            sentence=None,
        ),
        quiet=(
            'sidecar_projection_failures_total{action!="retry"} > 0',
            "sidecar_dead_letters > 0",
        ),
        after=("sum(sidecar_worker_restarts_total) == 0",),
    ),
    Drill(
        name="deadlocks one after the other",
        injected="a session locks the read model's rows, then the checkpoint, again and again",
        fault=deadlocked,
        signals=Signals(
            alert=None,
            check=None,
            metric=Metric(
                "sum(sidecar_projection_failures_total"
                '{projection="order_totals",error_type="DeadlockDetectedError",action="retry"}) > 4'
            ),
            log=Log("sidecar.projection.interrupted", {"projection": "order_totals"}),
            letter=None,
            sentence=None,
        ),
        quiet=(
            'sidecar_projection_failures_total{action!="retry"} > 0',
            'sidecar_projection_failures_total{projection!="order_totals"} > 0',
            "sidecar_dead_letters > 0",
        ),
    ),
)
