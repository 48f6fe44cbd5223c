"""HTTP endpoints that programs under test send to."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@asynccontextmanager
async def serving(application: web.Application, port: int = 0) -> AsyncIterator[str]:
    """Serve on this machine and yield the address."""
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_otlp(take: Callable[[ExportTraceServiceRequest], None]) -> AsyncIterator[str]:
    """Hand on each export of traces, leave metrics unread, and yield the address."""

    async def take_traces(request: web.Request) -> web.Response:
        take(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    application = web.Application()
    application.router.add_post("/v1/traces", take_traces)
    application.router.add_post("/v1/metrics", _take_metrics)
    async with serving(application) as url:
        yield url


async def _take_metrics(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(content_type="application/x-protobuf")
