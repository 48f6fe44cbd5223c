"""What goes wrong with the application beside the sidecar: its pool, its loop, its agent."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.incidents.drills.drill import Alert, Check, Drill, Log, Metric, Sentence, Signals
from tests.incidents.drills.stand import Plan, Stand

GARBAGE: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n\xff\xfe{]# TYPE \x00"


@asynccontextmanager
async def pool_exhausted(stand: Stand) -> AsyncIterator[None]:
    """Let orders wait for a lock, each with a connection, while others come in."""
    async with stand.transaction("LOCK TABLE sidecar.events IN EXCLUSIVE MODE"):
        yield


@asynccontextmanager
async def leaking(stand: Stand) -> AsyncIterator[None]:
    stand.till.send_signal(signal.SIGUSR1)
    yield
    stand.till.send_signal(signal.SIGUSR2)


@asynccontextmanager
async def hung(stand: Stand) -> AsyncIterator[None]:
    stand.till.send_signal(signal.SIGSTOP)
    yield
    stand.till.send_signal(signal.SIGCONT)


@asynccontextmanager
async def garbled(stand: Stand) -> AsyncIterator[None]:
    """Put something in the application's place that speaks HTTP, and no sense."""
    await stand.stop_till()
    async with await asyncio.start_server(_babble, "127.0.0.1", stand.agent_port):
        yield
    stand.start_till()


async def _babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(GARBAGE)
    writer.close()


DRILLS: Final = (
    Drill(
        name="pool exhausted",
        injected="a session locks the log against writers; customers keep coming",
        fault=pool_exhausted,
        signals=Signals(
            alert=Alert("SidecarPoolTimeouts"),
            check=Check("pool-app-1-shop", "warn", "pool-app-1-shop.saturated"),
            metric=Metric(
                'service_instance_process_pool:sidecar_pool_used:ratio{process="app-1"} == 1'
            ),
            log=Log("sidecar.check.changed", {"check": "pool-app-1-shop", "status": "warn"}),
            letter=None,
            sentence=Sentence(r"shop app-1 5 of 5"),
        ),
        symptoms=frozenset({"SidecarPoolSaturated", "SidecarPoolWaitHigh"}),
        quiet=("sidecar_ready == 0", "sidecar_projection_lag_seconds > 10"),
    ),
    Drill(
        name="leaked connections",
        injected="an application takes two connections of its pool and forgets them",
        fault=leaking,
        plan=Plan(till="tests.incidents.drills.leaking_till"),
        signals=Signals(
            alert=Alert("SidecarPoolLeaking"),
            check=Check("pool-app-1-shop", "warn", "pool-app-1-shop.leaking"),
            metric=Metric("sidecar_pool_leaks == 2"),
            log=Log("sidecar.check.changed", {"check": "pool-app-1-shop", "status": "warn"}),
            letter=None,
            sentence=Sentence(r"pool-app-1-shop warn pool-app-1-shop\.leaking"),
        ),
        quiet=("sidecar_ready == 0",),
        after=("max(sidecar_pool_leaks) == 0",),
    ),
    Drill(
        name="application hung",
        injected="SIGSTOP",
        fault=hung,
        signals=Signals(
            alert=Alert("SidecarApplicationDown"),
            check=Check("application", "fail", "application.silent"),
            metric=Metric("sidecar_ready == 0"),
            log=Log("sidecar.check.changed", {"check": "application", "status": "fail"}),
            letter=None,
            sentence=Sentence(r"Not ready: .*application"),
        ),
        symptoms=frozenset({"SidecarNotReady"}),
        quiet=("sidecar_projection_lag_seconds > 10",),
    ),
    Drill(
        name="agent answering garbage",
        injected="something else answers at the application's agent port",
        fault=garbled,
        signals=Signals(
            alert=Alert("SidecarApplicationDown"),
            check=Check("application", "fail"),
            metric=Metric('increase(sidecar_agent_scrape_failures_total{target="app-1"}[10s]) > 0'),
            log=Log("sidecar.check.changed", {"check": "application", "status": "fail"}),
            letter=None,
            sentence=Sentence(r"Not ready: .*application"),
        ),
        symptoms=frozenset({"SidecarNotReady"}),
        quiet=("sidecar_projection_lag_seconds > 10", "up == 0"),
    ),
)
