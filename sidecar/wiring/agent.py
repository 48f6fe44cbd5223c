"""The in-app half: an agent inside the application, or inside a worker."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from functools import partial

import sidecar
from sidecar.config import environ as environment
from sidecar.config.environ import Environ
from sidecar.config.environment import Environment
from sidecar.config.settings import Settings, load
from sidecar.errors import UsageError
from sidecar.events.publisher import EventPublisher
from sidecar.health.monitor import Monitor
from sidecar.health.registry import Checks
from sidecar.postgres.adopted import AdoptedPool
from sidecar.postgres.connection import RawPool
from sidecar.postgres.leak import watch_leaks
from sidecar.postgres.pool import MeteredPool
from sidecar.postgres.sink import LetterSink
from sidecar.postgres.store import EventStore
from sidecar.process.agent import Agent, listen
from sidecar.process.background import Background
from sidecar.process.pulse import Pulse
from sidecar.telemetry.exposition import PLAIN, render_registry
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.watching import observe_loop_lag
from sidecar.wiring.boot import make_redactor, plain
from sidecar.wiring.instrument import (
    Publisher,
    follow_any_pool,
    follow_any_publisher,
    follow_store,
)
from sidecar.wiring.retries import Retries
from sidecar.wiring.told import show_pool, show_statuses


def make_agent(
    telemetry: Telemetry,
    tell: Callable[[], Mapping[str, object]],
    pulse: Pulse,
    listener: socket.socket,
) -> Agent:
    """Build an agent that shows a process's telemetry in Prometheus format."""

    def exposition(_accept: str | None) -> tuple[bytes, str]:
        return render_registry(telemetry.registry).encode(), PLAIN

    return Agent(exposition=exposition, heartbeat=tell, pulse=pulse, listener=listener)


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
    """Serve the application's own numbers on loopback, from its own event loop.

    Give the address to the sidecar as `SIDECAR_APP_AGENT_URL`. The numbers of publisher and pool
    are shown for the length of the block; both stay the caller's to close.

    Args:
        publisher: Told of by spans and counters; any object with `async publish(event)`.
        pool: Told of by gauges and durations; connections held for too long are logged, in
            development with the place where they were taken.
        store: Each append is a span, and its events carry the trace to their handlers.
        checks: The service's own, asked here, and shown by the sidecar beside its own.
        host: Where to listen; `SIDECAR_AGENT_HOST` by default, 127.0.0.1 without it.
        port: Where to listen; `SIDECAR_AGENT_PORT` by default, 9464 without it.

    Raises:
        UsageError: The address is taken, or one of the objects is not what it should be.
    """
    environ = environment.read()
    settings, _ = load(environ)
    telemetry = _start_telemetry(environ, settings)
    pulse = Pulse()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, telemetry.close)
        observe_loop_lag(telemetry, lambda: pulse.lag_seconds)
        counted = _follow(stack.enter_context(ExitStack()), telemetry, publisher, pool, settings)
        if store is not None:
            follow_store(stack.enter_context(ExitStack()), telemetry, store)
        monitor = Monitor(checks or ())
        tell = partial(_tell, monitor, counted, telemetry)
        listener = listen(
            host or settings.agent_host, settings.agent_port if port is None else port
        )
        await stack.enter_async_context(make_agent(telemetry, tell, pulse, listener))
        background = await stack.enter_async_context(Background())
        _start_loops(background, monitor, counted, publisher)
        yield


def _start_telemetry(environ: Environ, settings: Settings) -> Telemetry:
    return Telemetry.start(
        settings.service_name,
        "app",
        version=sidecar.__version__,
        environ=plain(environ),
        redact=make_redactor(settings, environ),
    )


def _start_loops(
    background: Background,
    monitor: Monitor,
    counted: MeteredPool | AdoptedPool | None,
    publisher: EventPublisher | Publisher | None,
) -> None:
    background.start("checks", monitor.run)
    if counted is not None:
        background.start("leaks", partial(watch_leaks, counted))
    if isinstance(publisher, EventPublisher) and isinstance(publisher.sink, LetterSink):
        retries = Retries(publisher, publisher.sink)
        background.start("retries", retries.run)
        # A service may have a check of that name; it has the last word on it.
        with suppress(UsageError):
            monitor.add(retries.check())


def _follow(
    stack: ExitStack,
    telemetry: Telemetry,
    publisher: EventPublisher | Publisher | None,
    pool: "MeteredPool | RawPool | None",
    settings: Settings,
) -> MeteredPool | AdoptedPool | None:
    """Let publisher and pool tell of themselves, and return the pool as it is counted."""
    if publisher is not None:
        follow_any_publisher(stack, telemetry, publisher)
    if pool is None:
        return None
    counted = follow_any_pool(stack, telemetry, pool, settings.service_name)
    counted.lending.keeps_stacks = settings.environment is Environment.DEVELOPMENT
    return counted


def _tell(
    monitor: Monitor, pool: MeteredPool | AdoptedPool | None, telemetry: Telemetry
) -> Mapping[str, object]:
    return {
        "process": "app",
        "pid": os.getpid(),
        "pools": [show_pool(pool)] if pool is not None else [],
        "telemetry_dropped": telemetry.losses.total(),
        "checks": show_statuses(monitor.snapshot(time.monotonic())),
    }
