"""What goes wrong on the way between the sidecar and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from tests.incidents.drills.drill import Alert, Check, Drill, Log, Metric, Sentence, Signals
from tests.incidents.drills.stand import Plan, Stand
from tests.proxy import Proxy, proxying

# In either direction: an answer takes twice as long.
SLOW_SECONDS: Final = 0.15
# Enough for nearly every moment to be in the middle of a transaction.
BUSY_SECONDS: Final = 0.02
CUTS: Final = 8
CUT_PAUSE_SECONDS: Final = 0.7


@asynccontextmanager
async def behind_proxy(stand: Stand) -> AsyncIterator[None]:
    """Let the sidecar alone reach its database over a link that a fault can spoil."""
    url, server = urlsplit(stand.dsn), urlsplit(stand.cluster.dsn(tcp=True))
    account = url.netloc.rpartition("@")[0]
    assert server.hostname is not None
    assert server.port is not None
    async with proxying(server.hostname, server.port) as proxy:
        address = f"postgresql://{account}@127.0.0.1:{proxy.port}{url.path}"
        stand.variables["DATABASE_URL"] = address
        stand.rig["proxy"] = proxy
        yield


def proxy_of(stand: Stand) -> Proxy:
    proxy: Proxy = stand.rig["proxy"]
    return proxy


@asynccontextmanager
async def slow(stand: Stand) -> AsyncIterator[None]:
    proxy_of(stand).delay_seconds = SLOW_SECONDS
    yield
    proxy_of(stand).delay_seconds = 0.0


@asynccontextmanager
async def cut(stand: Stand) -> AsyncIterator[None]:
    proxy = proxy_of(stand)
    proxy.delay_seconds = BUSY_SECONDS
    for _ in range(CUTS):
        await asyncio.sleep(CUT_PAUSE_SECONDS)
        proxy.cut()
    yield
    proxy.delay_seconds = 0.0


BEHIND_PROXY: Final = Plan(prepare=behind_proxy)
DRILLS: Final = (
    Drill(
        name="slow PostgreSQL",
        injected="a proxy makes each answer of PostgreSQL 300 ms late, for the sidecar only",
        fault=slow,
        signals=Signals(
            alert=Alert("SidecarStoreSlow"),
            check=Check("postgres", "warn", "postgres.slow"),
            metric=Metric('sidecar_check_status{check="postgres",status="warn"} == 1'),
            log=Log("sidecar.check.changed", {"check": "postgres", "status": "warn"}),
            letter=None,
            sentence=Sentence(r"postgres .{0,40}warn"),
        ),
        quiet=(
            "sidecar_ready == 0",
            'sidecar_check_status{check="event-store",status!="pass"} == 1',
            "sidecar_dead_letters > 0",
        ),
        after=('sidecar_check_status{check="postgres",status="pass"} == 1',),
        plan=BEHIND_PROXY,
        # Longer, and the projection that reads once for each order is late for good.
        lasts_seconds=0.0,
    ),
    Drill(
        name="link cut in the middle of a transaction",
        injected=f"a proxy resets all connections of the sidecar, {CUTS} times in a row",
        fault=cut,
        signals=Signals(
            alert=None,
            check=None,
            metric=Metric('sum(sidecar_projection_failures_total{action="retry"}) > 0'),
            log=Log("sidecar.projection.interrupted"),
            letter=None,
            sentence=None,
        ),
        quiet=(
            'sidecar_projection_failures_total{action!="retry"} > 0',
            'sidecar_projection_status{status="stalled"} == 1',
            "sidecar_dead_letters > 0",
        ),
        plan=BEHIND_PROXY,
    ),
)
