"""`python -m tests.benchmarks.crowd PORT`: an application with many event types and pools."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Final

import uvloop

import sidecar
from sidecar.events.publisher import EventPublisher
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.process.agent import listen
from sidecar.process.heartbeat import Heartbeat
from sidecar.telemetry.pool_metrics import PoolTelemetry, observe_pool
from sidecar.telemetry.publisher_metrics import observe_publisher
from sidecar.telemetry.setup import Telemetry
from sidecar.wiring.application_agent import make_agent

EVENT_TYPES: Final = 500
POOLS: Final = 20


@dataclass(frozen=True, slots=True)
class Happened:
    """An event that names its own type."""

    event_type: str


async def serve(port: int) -> None:
    """Show the numbers until the process is ended."""
    telemetry = Telemetry.start("crowd", "app", version=sidecar.__version__, environ={})
    await _publish(telemetry)
    for number in range(POOLS):
        _add_pool(telemetry, f"pool-{number}")
    listener = listen("127.0.0.1", port)
    async with make_agent(telemetry, Heartbeat, listener):
        await asyncio.Event().wait()


async def _publish(telemetry: Telemetry) -> None:
    publisher = EventPublisher()
    observe_publisher(telemetry, publisher)
    for number in range(EVENT_TYPES):
        await publisher.publish(Happened(f"type-{number}"))


def _add_pool(telemetry: Telemetry, name: str) -> None:
    """Show a pool that is never opened, with a value in each of its histograms."""
    pool = MeteredPool("postgresql://", name=name)
    told = PoolTelemetry(telemetry, name)
    told.created(0.01)
    told.waited(0.001, "ok")
    told.used(0.002)
    observe_pool(telemetry, pool)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
