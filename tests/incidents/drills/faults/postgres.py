"""What goes wrong with the server: away, frozen, held up, or full of others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import asyncpg
import psutil

from tests.incidents.drills.drill import Alert, Check, Drill, Log, Metric, Sentence, Signals
from tests.incidents.drills.stand import Plan, Stand, durable_cluster

MAX_CONNECTIONS: Final = 30
GRAB_SECONDS: Final = 0.2
UNREACHABLE: Final = 'sidecar_check_status{check="postgres",status="fail"} == 1'
_END_ALL: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'greedy'
"""
_SET_BACK: Final = """
SELECT setval(pg_get_serial_sequence('sidecar.events', 'position'), 1)
"""


@asynccontextmanager
async def down(stand: Stand) -> AsyncIterator[None]:
    await asyncio.to_thread(stand.cluster.stop, "fast")
    yield
    await asyncio.to_thread(stand.cluster.start)


@asynccontextmanager
async def frozen(stand: Stand) -> AsyncIterator[None]:
    postmaster = psutil.Process(stand.cluster.pid)
    processes = [postmaster, *postmaster.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(processes):
            process.resume()


@asynccontextmanager
async def head_held(stand: Stand) -> AsyncIterator[None]:
    append = (
        "INSERT INTO sidecar.events (version, stream, type, data)"
        " VALUES (1, 'order-open', 'OrderPlaced', '{}')"
    )
    async with stand.transaction(append):
        yield


@asynccontextmanager
async def set_back(stand: Stand) -> AsyncIterator[None]:
    """Be a copy that left sequences out; cured by the statement that the sidecar gives."""
    await stand.run(_SET_BACK)
    yield
    message: str = stand.lines("sidecar.store.unsafe")[-1]["message"]
    await stand.run(message.rpartition(": ")[2])


@asynccontextmanager
async def slot_left(stand: Stand) -> AsyncIterator[None]:
    await stand.run("SELECT pg_create_physical_replication_slot('left_behind', true)")
    try:
        yield
    finally:
        await stand.run("SELECT pg_drop_replication_slot('left_behind')")


@asynccontextmanager
async def used_up(stand: Stand) -> AsyncIterator[None]:
    """Be another service that takes every connection, those that others lose included."""
    greedy: list[asyncpg.Connection] = []
    grabbing = asyncio.create_task(_grab(stand.dsn, greedy))
    try:
        yield
    finally:
        grabbing.cancel()
        for connection in greedy:
            connection.terminate()


async def _grab(dsn: str, taken: list[asyncpg.Connection]) -> None:
    while True:
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                taken.append(await _connect(dsn))
        await taken[0].execute(_END_ALL)
        await asyncio.sleep(GRAB_SECONDS if len(taken) >= MAX_CONNECTIONS else 0.0)


async def _connect(dsn: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn, server_settings={"application_name": "greedy"})


DRILLS: Final = (
    Drill(
        name="PostgreSQL down",
        injected="the server is stopped, and started again",
        fault=down,
        signals=Signals(
            alert=Alert("SidecarStoreUnreachable"),
            check=Check("postgres", "fail", "postgres.unreachable"),
            metric=Metric(UNREACHABLE),
            log=Log("sidecar.watch.lost"),
            letter=None,
            sentence=Sentence(r"Not ready: .*postgres"),
        ),
        symptoms=frozenset({"SidecarNotReady"}),
        quiet=("up == 0", "sidecar_dead_letters > 0"),
    ),
    Drill(
        name="PostgreSQL frozen",
        injected="SIGSTOP to every process of the server",
        fault=frozen,
        signals=Signals(
            alert=Alert("SidecarStoreUnreachable"),
            check=Check("postgres", "fail"),
            metric=Metric(UNREACHABLE),
            log=Log("sidecar.watch.lost"),
            letter=None,
            sentence=Sentence(r"Not ready: .*postgres"),
        ),
        symptoms=frozenset({"SidecarNotReady", "SidecarPoolTimeouts"}),
        quiet=("up == 0", "sidecar_dead_letters > 0"),
    ),
    Drill(
        name="safe head held by an idle transaction",
        injected="a session appends an event and leaves its transaction open",
        fault=head_held,
        signals=Signals(
            alert=Alert("SidecarStoreHeld"),
            check=Check("event-store", "warn", "event-store.held"),
            metric=Metric("sidecar_store_hold_duration_seconds > 5"),
            log=Log("sidecar.store.held"),
            letter=None,
            sentence=Sentence("Transactions that hold up the projections .*idle in transaction"),
        ),
        quiet=("sidecar_ready == 0",),
        after=("max(sidecar_store_hold_duration_seconds) == 0",),
    ),
    Drill(
        name="sequence of positions set back",
        injected="the sequence is set to 1, as by a copy that left it out; cured as the log says",
        fault=set_back,
        signals=Signals(
            alert=Alert("SidecarStoreUnsafe"),
            check=Check("event-store", "fail", "event-store.unsafe-sequence"),
            metric=Metric("sidecar_store_unsafe == 1"),
            log=Log("sidecar.store.unsafe"),
            letter=None,
            sentence=Sentence(r"Events may be missed: .*was set back to \d+"),
        ),
        quiet=("sidecar_ready == 0", "sidecar_dead_letters > 0"),
        after=("max(sidecar_store_unsafe) == 0",),
        # Each order that is refused draws a position: in the end the sequence would be past all.
        lasts_seconds=0.0,
    ),
    Drill(
        name="replication slot left behind",
        injected="a slot is made that keeps the log, and nothing reads it",
        fault=slot_left,
        signals=Signals(
            alert=Alert("SidecarSlotInactive"),
            check=None,
            metric=Metric("sidecar_store_inactive_slots == 1"),
            log=None,
            letter=None,
            sentence=None,
        ),
        quiet=("sidecar_ready == 0", "sidecar_dead_letters > 0"),
        after=("max(sidecar_store_inactive_slots) == 0",),
    ),
    Drill(
        name="max_connections used up",
        injected="another service takes all 30 connections of the server",
        fault=used_up,
        plan=Plan(server=partial(durable_cluster, max_connections=str(MAX_CONNECTIONS))),
        signals=Signals(
            alert=Alert("SidecarStoreUnreachable"),
            check=Check("postgres", "fail"),
            metric=Metric(UNREACHABLE),
            log=Log("sidecar.watch.lost"),
            letter=None,
            sentence=Sentence(r"Not ready: .*postgres"),
        ),
        symptoms=frozenset({"SidecarNotReady"}),
        quiet=("up == 0", "sidecar_dead_letters > 0"),
    ),
)
