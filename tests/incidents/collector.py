"""A receiver of traces over OTLP/HTTP, as small as can be."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.incidents.endpoint import serving_otlp


class Collector:
    """Remembers every span that it was sent."""

    def __init__(self) -> None:
        self.spans: Final[list[Span]] = []
        self.url = ""

    def take(self, message: ExportTraceServiceRequest) -> None:
        self.spans.extend(
            span
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        )


def read_texts(attributes: "list[KeyValue]") -> dict[str, str]:
    """Return the attributes that are text."""
    return {item.key: item.value.string_value for item in attributes}


@asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    collector = Collector()
    async with serving_otlp(collector.take) as collector.url:
        yield collector
