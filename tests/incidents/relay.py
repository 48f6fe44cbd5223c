"""Three programs that one trace goes through: a shop, its events' handler, and a post office.

`relay.py shop DSN` appends one event inside a span and ends; `relay:publisher` is for
`sidecar run`; `relay.py post PORT` takes letters until it is ended.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import ClientSession, web
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from sidecar.events.publisher import EventPublisher
from sidecar.events.types import EventTypes
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from sidecar.wiring.application_agent import agent

types: Final = EventTypes()


@types.register()
@dataclass(frozen=True, slots=True)
class Ordered:
    """Somebody ordered."""

    customer: str


async def send_letter(event: Ordered) -> None:
    """Call the post office as any client does that knows of traces."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    url = os.environ["POST_URL"]
    async with ClientSession() as http, http.post(url, data=event.customer, headers=headers) as got:
        got.raise_for_status()


publisher: Final = EventPublisher(types)
publisher.add_handler(send_letter, Ordered)


@contextmanager
def tracing(service: str) -> Iterator[trace.Tracer]:
    """Set tracing up as a service does that has never heard of a sidecar."""
    grpc = os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(GrpcExporter() if grpc else OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    yield provider.get_tracer(service)
    provider.shutdown()


async def order(dsn: str) -> None:
    with tracing("shop") as tracer:
        async with MeteredPool(dsn, name="shop", min_size=1, max_size=1) as pool:
            store = EventStore(pool, types)
            async with agent(store=store, port=0):
                with tracer.start_as_current_span("place order"):
                    await store.append("order-1", [Ordered("Ada")])


async def deliver(port: int) -> None:
    with tracing("post") as tracer:

        async def take(request: web.Request) -> web.Response:
            context = propagate.extract(request.headers)
            with tracer.start_as_current_span(
                "take letter", context=context, kind=trace.SpanKind.SERVER
            ):
                return web.Response(text=f"for {await request.text()}")

        application = web.Application()
        application.router.add_post("/", take)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    role, argument = sys.argv[1:]
    asyncio.run(order(argument) if role == "shop" else deliver(int(argument)))
