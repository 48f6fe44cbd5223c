"""A receiver of traces over OTLP/HTTP, as small as can be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """Remembers every span that it was sent."""

    def __init__(self) -> None:
        self.spans: Final[list[Span]] = []
        self.url = ""

    async def take_traces(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        self.spans.extend(
            span
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        )
        return web.Response(content_type="application/x-protobuf")


def read_texts(attributes: "list[KeyValue]") -> dict[str, str]:
    """Return the attributes that are text."""
    return {item.key: item.value.string_value for item in attributes}


@asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    collector = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", collector.take_traces)
    application.router.add_post("/v1/metrics", _take_metrics)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()


async def _take_metrics(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(content_type="application/x-protobuf")
