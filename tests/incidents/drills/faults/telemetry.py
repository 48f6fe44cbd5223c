"""What goes wrong with those whom traces are sent to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.incidents.drills.drill import Alert, Check, Drill, Log, Metric, Sentence, Signals
from tests.incidents.drills.stand import Plan, Stand

SIGNALS: Final = Signals(
    alert=Alert("SidecarTelemetryDropped"),
    check=Check("telemetry", "warn", "telemetry.dropping"),
    metric=Metric('sum(sidecar_telemetry_dropped_total{signal="traces"}) > 0'),
    log=Log("sidecar.telemetry.dropped"),
    letter=None,
    sentence=Sentence(r"telemetry warn telemetry\.dropping"),
)
QUIET: Final = ("sidecar_ready == 0", "sidecar_projection_lag_seconds > 10", "up == 0")


@asynccontextmanager
async def collector_down(stand: Stand) -> AsyncIterator[None]:
    await stand.collector.stop()
    yield
    await stand.collector.start()


@asynccontextmanager
async def black_hole(stand: Stand) -> AsyncIterator[None]:
    """Put something in the collector's place that takes connections, and never answers."""
    await stand.collector.stop()
    swallowed: list[asyncio.StreamWriter] = []

    async def swallow(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        swallowed.append(writer)

    async with await asyncio.start_server(swallow, "127.0.0.1", stand.collector.port):
        try:
            yield
        finally:
            for writer in swallowed:
                writer.close()
    await stand.collector.start()


DRILLS: Final = (
    Drill(
        name="collector down",
        injected="nothing listens at its address",
        fault=collector_down,
        signals=SIGNALS,
        quiet=QUIET,
    ),
    Drill(
        name="collector black-holed",
        injected="its address takes connections and never answers",
        fault=black_hole,
        plan=Plan(environ={"OTEL_EXPORTER_OTLP_TIMEOUT": "3"}),
        signals=SIGNALS,
        quiet=QUIET,
    ),
)
