"""Faults: how each is made, which one alert tells of it, what that silences, and the cure."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import psutil

from tests.incidents.stack import Stack
from tests.postgres.cluster import Cluster

KILLS = 4

Scene = Callable[[Stack, Cluster], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; leaving `scene` is the cure.

    Attributes:
        alert: The one that is told of.
        symptoms: Alerts that fire, too, and are silenced.
        lasts_seconds: How long it goes on once it was told of, for slower alerts to come up.
    """

    alert: str
    scene: Scene
    symptoms: frozenset[str] = frozenset()
    lasts_seconds: float = 15.0


@asynccontextmanager
async def raising_always(stack: Stack, _cluster: Cluster) -> AsyncIterator[None]:
    await run(stack, "INSERT INTO broken VALUES (true)")
    yield
    await run(stack, "DELETE FROM broken")
    await stack.command("dead-letters", "retry", "--projection", "fragile")


@asynccontextmanager
async def poisoned(stack: Stack, _cluster: Cluster) -> AsyncIterator[None]:
    await run(stack, "INSERT INTO broken VALUES (false)")
    stack.tell_app("poison 1")
    yield
    await run(stack, "DELETE FROM broken")
    await stack.command("dead-letters", "retry", "--projection", "fragile")


@asynccontextmanager
async def stalled(stack: Stack, _cluster: Cluster) -> AsyncIterator[None]:
    async with transaction(stack, "LOCK TABLE patient"):
        yield


@asynccontextmanager
async def runner_killed(stack: Stack, _cluster: Cluster) -> AsyncIterator[None]:
    killing = asyncio.create_task(_kill_on(stack))
    yield
    killing.cancel()


async def _kill_on(stack: Stack) -> None:
    """Kill the worker as often as it takes; for ever would make its projections stand still."""
    killed = 0
    while killed < KILLS:
        worker = await stack.program.worker()
        if worker["state"] == "running" and worker["pid"]:
            psutil.Process(worker["pid"]).kill()
            killed += 1
        await asyncio.sleep(1.0)


@asynccontextmanager
async def pool_exhausted(stack: Stack, _cluster: Cluster) -> AsyncIterator[None]:
    stack.tell_app("hold")
    yield
    stack.tell_app("release")


@asynccontextmanager
async def postgres_down(_stack: Stack, cluster: Cluster) -> AsyncIterator[None]:
    await asyncio.to_thread(cluster.stop, "fast")
    yield
    await asyncio.to_thread(cluster.start)


@asynccontextmanager
async def postgres_frozen(_stack: Stack, cluster: Cluster) -> AsyncIterator[None]:
    postmaster = psutil.Process(cluster.pid)
    frozen = [postmaster, *postmaster.children()]
    for process in frozen:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(frozen):
            process.resume()


@asynccontextmanager
async def head_held(stack: Stack, _cluster: Cluster) -> AsyncIterator[None]:
    append = (
        "INSERT INTO sidecar.events (version, stream, type, data)"
        " VALUES (1, 'account-open', 'Paid', '{}')"
    )
    async with transaction(stack, append):
        yield


@asynccontextmanager
async def configuration_invalid(stack: Stack, _cluster: Cluster) -> AsyncIterator[None]:
    await stop(stack)
    async with stack.serving(SIDECAR_DRAIN_DELAY_SECONDS="soon"):
        yield
        await stop(stack)
    await start(stack)


@asynccontextmanager
async def sidecar_killed(stack: Stack, _cluster: Cluster) -> AsyncIterator[None]:
    await stack.program.kill()
    stack.program.family.kill()
    yield
    await start(stack)


@asynccontextmanager
async def application_hung(stack: Stack, _cluster: Cluster) -> AsyncIterator[None]:
    stack.app.send_signal(signal.SIGSTOP)
    yield
    stack.app.send_signal(signal.SIGCONT)


@asynccontextmanager
async def collector_down(stack: Stack, _cluster: Cluster) -> AsyncIterator[None]:
    await stack.collector.stop()
    yield
    await stack.collector.start()


async def start(stack: Stack) -> None:
    """Start the program again, for as long as the stack runs."""
    await stack.keep(stack.serving())


async def stop(stack: Stack) -> None:
    stack.program.send(signal.SIGTERM)
    await stack.program.wait(15.0)


@asynccontextmanager
async def transaction(stack: Stack, statement: str) -> AsyncIterator[None]:
    """Run a statement and leave its transaction open and idle; then roll it back."""
    connection = await asyncpg.connect(stack.dsn)
    try:
        open_one = connection.transaction()
        await open_one.start()
        await connection.execute(statement)
        yield
        await open_one.rollback()
    finally:
        await connection.close()


async def run(stack: Stack, statement: str) -> None:
    connection = await asyncpg.connect(stack.dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


FAULTS = {
    "projection raising always": Fault(
        "SidecarDeadLettersGrowing",
        raising_always,
        frozenset({"SidecarProjectionFailing", "SidecarDeadLetters"}),
    ),
    # A failure is news for ten minutes; after that its dead letter is told of by itself.
    "one poisoned stream": Fault(
        "SidecarProjectionFailing", poisoned, frozenset({"SidecarDeadLetters"}), lasts_seconds=0
    ),
    "projection stalled": Fault(
        "SidecarProjectionStalled", stalled, frozenset({"SidecarProjectionLagHigh"})
    ),
    "runner killed": Fault("SidecarWorkerRestarting", runner_killed),
    "pool exhausted": Fault("SidecarPoolTimeouts", pool_exhausted),
    "PostgreSQL down": Fault(
        "SidecarStoreUnreachable", postgres_down, frozenset({"SidecarNotReady"})
    ),
    "PostgreSQL frozen": Fault(
        "SidecarStoreUnreachable", postgres_frozen, frozenset({"SidecarNotReady"})
    ),
    "safe head held by an idle transaction": Fault("SidecarStoreHeld", head_held),
    "configuration invalid": Fault("SidecarConfigInvalid", configuration_invalid),
    "collector down": Fault("SidecarTelemetryDropped", collector_down),
    "sidecar killed": Fault("SidecarDown", sidecar_killed),
    "application hung": Fault(
        "SidecarApplicationDown", application_hung, frozenset({"SidecarNotReady"})
    ),
}
QUICK = ("one poisoned stream", "PostgreSQL down", "sidecar killed")
"""What a plain run of the tests makes; `--stack-faults all` makes the others, too."""
