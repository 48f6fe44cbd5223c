"""In an application with its own OpenTelemetry an agent is unseen, and nothing counts twice."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

SET_UP = """
import asyncio, os
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
theirs = Resource.create({"service.name": "shop", "service.instance.id": "theirs"})
tracers = TracerProvider(resource=theirs)
tracers.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(tracers)
metrics.set_meter_provider(MeterProvider([reader], resource=theirs))

def points():
    data = reader.get_metrics_data()
    return [
        (metric.name, getattr(point, "count", None) or getattr(point, "value", None))
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ] if data else []

def names():
    return [span.name for span in spans.get_finished_spans()]
"""

POLLED = """
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
AioHttpServerInstrumentor().instrument()
from pathlib import Path
from aiohttp import ClientSession, UnixConnector, web
from sidecar import agent

async def say_hello(_):
    return web.Response(text="hello")

async def main():
    application = web.Application()
    application.router.add_get("/hello", say_hello)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with agent(port=0):
        [path] = Path(".sidecar/agents").iterdir()
        async with ClientSession(connector=UnixConnector(str(path))) as http:
            for _ in range(3):
                for page in ("metrics", "heartbeat"):
                    async with http.get(f"http://agent/{page}") as answer:
                        assert answer.status == 200, await answer.text()
        async with ClientSession() as http, http.get(f"http://127.0.0.1:{port}/hello") as answer:
            await answer.text()
    await runner.cleanup()

asyncio.run(main())
http = [count for name, count in points() if name in ("http.server.duration",)]
print({"spans": names(), "requests": http})
"""

TWICE = """
from pathlib import Path
from aiohttp import ClientSession, UnixConnector
from sidecar import EventPublisher, agent, instrument
import asyncpg

async def handle(event): ...

publisher = EventPublisher()
publisher.add_handler(handle)
instrument(publisher)

async def main():
    pool = asyncpg.create_pool("postgresql://127.0.0.1:9/shop", min_size=0, max_size=7)
    instrument(pool, name="theirs")
    async with agent(publisher=publisher, pool=pool):
        for _ in range(4):
            await publisher.publish(object())
        during = points()
        [path] = Path(".sidecar/agents").iterdir()
        async with ClientSession(connector=UnixConnector(str(path))) as http:
            async with http.get("http://agent/metrics") as answer:
                shown = await answer.text()
    await publisher.publish(object())
    return during, shown

during, shown = asyncio.run(main())
wanted = ("sidecar.events.published", "sidecar.publish.duration", "db.client.connection.max")
print({
    "during": sorted(each for each in during if each[0] in wanted),
    "after": sorted(each for each in points() if each[0] in wanted),
    "spans": names(),
    "shown": [line for line in shown.splitlines() if line.startswith((
        "sidecar_events_published_total", "sidecar_publish_duration_seconds_count",
        "db_client_connection_max"))],
})
"""


def run(program: str, folder: Path, **environ: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SET_UP + program],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "ENVIRONMENT": "test", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = ast.literal_eval(done.stdout.splitlines()[-1])
    return told


def test_polls_of_an_agent_are_in_no_trace_and_no_metric_of_the_application(tmp_path: Path) -> None:
    assert run(POLLED, tmp_path) == {"spans": ["GET /hello"], "requests": [1]}


def test_what_is_instrumented_and_given_to_an_agent_counts_once_wherever_it_goes(
    tmp_path: Path,
) -> None:
    sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    for environ in ({}, sent):
        folder = tmp_path / str(len(environ))
        folder.mkdir()
        told = run(TWICE, folder, **environ)
        once = [("db.client.connection.max", 7), ("sidecar.events.published", 4)]
        assert told["during"] == [*once, ("sidecar.publish.duration", 4)]
        assert told["after"] == [once[0], (once[1][0], 5), ("sidecar.publish.duration", 5)]
        assert told["spans"] == ["publish object"] * 5
        assert [line.rpartition(" ")[2] for line in sorted(told["shown"])] == ["7.0", "4.0", "4.0"]
