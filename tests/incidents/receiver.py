"""A receiver of OTLP, over HTTP or gRPC, that remembers every span and who sent it."""

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from typing_extensions import override

from tests.incidents.endpoint import serving_otlp

# The library has no types.
grpc: Final[Any] = import_module("grpc")


@dataclass(frozen=True, slots=True)
class Sent:
    """A span, with the name of the service that sent it."""

    service: str
    span: Span


class Receiver:
    """Remembers what it was sent; `url` and `protocol` are what senders are told."""

    def __init__(self, protocol: str) -> None:
        self.protocol: Final = protocol
        self.url = ""
        self.sent: Final[list[Sent]] = []

    def environment(self) -> dict[str, str]:
        """Return what a sender is told."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def find(self, service: str, name: str) -> list[Span]:
        """Return the spans of a service by their name."""
        return [one.span for one in self.sent if (one.service, one.span.name) == (service, name)]

    def take(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            attributes = resource.resource.attributes
            (service,) = (a.value.string_value for a in attributes if a.key == "service.name")
            spans = (span for scope in resource.scope_spans for span in scope.spans)
            self.sent.extend(Sent(service, span) for span in spans)


@asynccontextmanager
async def receiving_http() -> AsyncIterator[Receiver]:
    receiver = Receiver("http/protobuf")
    async with serving_otlp(receiver.take) as receiver.url:
        yield receiver


@asynccontextmanager
async def receiving_grpc() -> AsyncIterator[Receiver]:
    receiver = Receiver("grpc")
    server = grpc.server(ThreadPoolExecutor(2))
    add_traces: Callable[..., None] = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add_metrics: Callable[..., None] = metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server
    add_traces(_Traces(receiver), server)
    add_metrics(_Metrics(), server)
    receiver.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(0).wait()


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    @override
    def Export(self, request: Any, context: Any) -> Any:
        self._receiver.take(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    @override
    def Export(self, request: Any, context: Any) -> Any:
        return metrics_service_pb2.ExportMetricsServiceResponse()


Receiving = Callable[[], AbstractAsyncContextManager[Receiver]]
"""Opens a receiver."""
