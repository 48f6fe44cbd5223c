"""The in-app half: an agent inside the application, or inside a worker."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from sidecar.config import environ as environment
from sidecar.config.environ import Environ
from sidecar.config.environment import Environment
from sidecar.config.settings import Settings, load
from sidecar.errors import UsageError
from sidecar.events.publisher import EventPublisher
from sidecar.health.monitor import Monitor
from sidecar.health.registry import Checks
from sidecar.postgres.connection import RawPool
from sidecar.postgres.dead_letters.dead_letter_sink import PostgresDeadLetterSink
from sidecar.postgres.pools.instrumented_pool import InstrumentedPool
from sidecar.postgres.pools.leak import watch_leaks
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from sidecar.process.agent import Agent, ReadHeartbeat
from sidecar.process.background import Background
from sidecar.process.heartbeat import (
    MAX_CHECKS,
    MAX_SUBSCRIBERS,
    CheckReport,
    Heartbeat,
    at_most,
    report_subscribers,
)
from sidecar.process.loop_lag import LoopLagMonitor
from sidecar.telemetry.exposition import PLAIN, render_registry
from sidecar.telemetry.process_metrics import observe_agent_failures, observe_loop_lag
from sidecar.telemetry.publisher_metrics import Publishing
from sidecar.telemetry.setup import Telemetry
from sidecar.version import __version__
from sidecar.wiring.boot import plain, redact_environment
from sidecar.wiring.harmless import Part, Troubles
from sidecar.wiring.instrument import (
    Publisher,
    follow_any_pool,
    follow_any_publisher,
    follow_store,
)
from sidecar.wiring.place import Place, sweep_later
from sidecar.wiring.retries import Retries


def make_agent(telemetry: Telemetry, report: ReadHeartbeat, *listeners: socket.socket) -> Agent:
    """Build an agent that shows a process's telemetry in Prometheus format, its loop's lag too."""
    lag_monitor = LoopLagMonitor()
    observe_loop_lag(telemetry, lambda: lag_monitor.lag_seconds)

    def exposition() -> tuple[bytes, str]:
        return render_registry(telemetry.registry).encode(), PLAIN

    return Agent(*listeners, exposition=exposition, heartbeat=report, lag_monitor=lag_monitor)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What the application hands to its agent."""

    publisher: EventPublisher | Publisher | None
    pool: "MeteredPool | RawPool | None"
    store: EventStore | None
    checks: Checks | None
    host: str | None
    port: int | None


@asynccontextmanager
async def agent(
    *,
    publisher: EventPublisher | Publisher | None = None,
    pool: "MeteredPool | RawPool | None" = None,
    store: EventStore | None = None,
    checks: Checks | None = None,
    host: str | None = None,
    port: int | None = None,
) -> AsyncIterator[None]:
    """Report this process to the sidecar, from its own event loop.

    A sidecar with the same data directory finds the agent by its socket there, in each process that
    runs one. The numbers of publisher and pool are shown for the length of the block; both stay the
    caller's to close.

    Nothing that goes wrong here reaches the application: what the agent cannot do, it does without,
    logs once, and counts. Only a cancellation passes, and what the block itself raises.

    Args:
        publisher: Observed by spans and counters; any object with `async publish(event)`.
        pool: Observed by gauges and durations; connections held for too long are logged, in
            development with the place where they were taken.
        store: Each append is a span, and its events carry the trace to their handlers.
        checks: The service's own, asked here, and shown by the sidecar beside its own.
        host: Where to listen for a sidecar on another host; `SIDECAR_AGENT_HOST` by default.
        port: The same; `SIDECAR_AGENT_PORT` by default. With neither, no port is opened.
    """
    given = _Given(publisher=publisher, pool=pool, store=store, checks=checks, host=host, port=port)
    troubles, stack = Troubles(), AsyncExitStack()
    try:
        with troubles.contained(Part.START):
            await _open(stack, troubles, given)
        yield
    finally:
        with troubles.contained(Part.END):
            await stack.aclose()


async def _open(stack: AsyncExitStack, troubles: Troubles, given: _Given) -> None:
    """Start everything that can be started; the stack ends it."""
    environ = environment.read()
    settings, _ = load(environ)
    telemetry = _start_telemetry(environ, settings)
    stack.push_async_callback(asyncio.to_thread, telemetry.close)
    place = Place()
    observe_agent_failures(telemetry, troubles.read)
    inside = _follow(stack.enter_context(ExitStack()), telemetry, troubles, given, settings)
    background = await stack.enter_async_context(Background())
    _start_loops(background, inside, given.publisher)
    stack.callback(place.close)
    place.open(settings, given.host, given.port, troubles)
    background.start("sweep", partial(sweep_later, settings.agents))
    stack.callback(place.leave)
    report = partial(_report, place.name, inside, telemetry, troubles)
    with troubles.contained(Part.ANSWER):
        await stack.enter_async_context(make_agent(telemetry, report, *place.listeners))
    # The last thing to be done is the first at the end: where the file is gone, no sidecar asks.
    stack.callback(place.leave)


def _start_telemetry(environ: Environ, settings: Settings) -> Telemetry:
    return Telemetry.start(
        settings.service_name,
        "app",
        version=__version__,
        environ=plain(environ),
        redact=redact_environment(),
    )


def _start_loops(
    background: Background, inside: "_Inside", publisher: EventPublisher | Publisher | None
) -> None:
    background.start("checks", inside.monitor.run)
    if inside.pool is not None:
        background.start("leaks", partial(watch_leaks, inside.pool))
    if isinstance(publisher, EventPublisher) and isinstance(publisher.sink, PostgresDeadLetterSink):
        retries = Retries(publisher, publisher.sink)
        background.start("retries", retries.run)
        # A service may have a check of that name; it has the last word on it.
        with suppress(UsageError):
            inside.monitor.add(retries.check())


@dataclass(slots=True)
class _Inside:
    """What of the application is observed; what could not be is not there."""

    monitor: Monitor
    publisher: Publishing | None = None
    pool: MeteredPool | InstrumentedPool | None = None
    schema: str = ""


def _follow(
    stack: ExitStack, telemetry: Telemetry, troubles: Troubles, given: _Given, settings: Settings
) -> _Inside:
    """Observe everything that can be, until the stack is closed."""
    inside = _Inside(Monitor(()))
    if given.publisher is not None:
        with troubles.contained(Part.PUBLISHER):
            inside.publisher = follow_any_publisher(stack, telemetry, given.publisher)
    if given.pool is not None:
        with troubles.contained(Part.POOL):
            inside.pool = follow_any_pool(stack, telemetry, given.pool, settings.service_name)
            if settings.environment is Environment.DEVELOPMENT:
                inside.pool.keep_stacks()
    if given.store is not None:
        with troubles.contained(Part.STORE):
            follow_store(stack, telemetry, given.store)
            inside.schema = given.store.schema
    if given.checks is not None:
        with troubles.contained(Part.CHECKS):
            inside.monitor = Monitor(given.checks)
    return inside


def _report(name: str, inside: _Inside, telemetry: Telemetry, troubles: Troubles) -> Heartbeat:
    now_mono = time.monotonic()
    statuses = inside.monitor.snapshot(now_mono)
    checks, more_checks = at_most(MAX_CHECKS, [CheckReport.of(status) for status in statuses])
    called = (
        () if inside.publisher is None else report_subscribers(inside.publisher.tally, now_mono)
    )
    subscribers, more = at_most(MAX_SUBSCRIBERS, called)
    return Heartbeat(
        agent=name,
        process="app",
        pid=os.getpid(),
        telemetry_dropped=telemetry.losses.total(),
        checks=checks,
        subscribers=subscribers,
        troubles=dict(troubles.counts),
        schema=inside.schema,
        left_out=more_checks + more,
    )
