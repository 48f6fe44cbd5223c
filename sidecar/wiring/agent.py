"""The in-app half: an agent inside the application, or inside a worker."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final

import sidecar
from sidecar.config import environ as environment
from sidecar.config.settings import load
from sidecar.errors import StoreUnavailableError
from sidecar.events.publisher import EventPublisher
from sidecar.health.monitor import Monitor
from sidecar.health.registry import Checks
from sidecar.postgres.pool import MeteredPool
from sidecar.postgres.sink import DeadLetterSink
from sidecar.postgres.store import EventStore
from sidecar.process.agent import Agent, listen
from sidecar.process.background import Background
from sidecar.process.pulse import Pulse
from sidecar.telemetry.exposition import PLAIN, render_registry
from sidecar.telemetry.link import add_trace_context
from sidecar.telemetry.pool import PoolTelemetry, observe_pool
from sidecar.telemetry.publishing import observe_publisher
from sidecar.telemetry.redaction import Redactor
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.watching import observe_loop_lag
from sidecar.wiring.boot import secrets_of
from sidecar.wiring.told import show_pool, show_statuses

RETRY_SECONDS: Final = 1.0


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
    publisher: EventPublisher | None = None,
    pool: MeteredPool | None = None,
    store: EventStore | None = None,
    checks: Checks | None = None,
    host: str | None = None,
    port: int | None = None,
) -> AsyncIterator[None]:
    """Serve the application's own numbers on loopback, from its own event loop.

    Give the address to the sidecar as `SIDECAR_APP_AGENT_URL`. The numbers of publisher and pool
    are shown for the length of the block; both stay the caller's to close.

    Args:
        publisher: Told of by spans and counters.
        pool: Told of by gauges and durations.
        store: Its events carry the trace in which they were appended.
        checks: The service's own, asked here, and shown by the sidecar beside its own.
        host: Where to listen; `SIDECAR_AGENT_HOST` by default, 127.0.0.1 without it.
        port: Where to listen; `SIDECAR_AGENT_PORT` by default, 9464 without it.

    Raises:
        UsageError: The address is taken.
    """
    environ = environment.read()
    settings, _ = load(environ)
    telemetry = Telemetry.start(
        settings.service_name,
        "app",
        version=sidecar.__version__,
        environ={variable.name: variable.value for variable in environ},
        redact=Redactor(secrets_of(settings)),
    )
    pulse = Pulse()
    listener = listen(host or settings.agent_host, settings.agent_port if port is None else port)
    with ExitStack() as stack:
        stack.callback(telemetry.close)
        _observe(stack, telemetry, pulse, publisher, pool)
        if store is not None:
            store.add_headers = add_trace_context
            stack.callback(setattr, store, "add_headers", None)
        monitor = Monitor(checks or ())
        tell = partial(_tell, monitor, pool)
        async with make_agent(telemetry, tell, pulse, listener), Background() as background:
            background.start("checks", monitor.run)
            if publisher is not None and isinstance(publisher.sink, DeadLetterSink):
                background.start("retries", partial(_retry, publisher, publisher.sink))
            yield


async def _retry(publisher: EventPublisher, sink: DeadLetterSink) -> None:
    """Take up what people ask to be retried; the projections' code runs here, in its service."""
    while True:
        with suppress(StoreUnavailableError):
            await sink.retry_due(publisher)
        await asyncio.sleep(RETRY_SECONDS)


def _observe(
    stack: ExitStack,
    telemetry: Telemetry,
    pulse: Pulse,
    publisher: EventPublisher | None,
    pool: MeteredPool | None,
) -> None:
    observe_loop_lag(telemetry, lambda: pulse.lag_seconds)
    if publisher is not None:
        stack.callback(observe_publisher(telemetry, publisher))
    if pool is not None:
        pool.observer = PoolTelemetry(telemetry, pool.name)
        stack.callback(observe_pool(telemetry, pool))


def _tell(monitor: Monitor, pool: MeteredPool | None) -> Mapping[str, object]:
    return {
        "process": "app",
        "pid": os.getpid(),
        "pools": [show_pool(pool)] if pool is not None else [],
        "checks": show_statuses(monitor.snapshot(time.monotonic())),
    }
