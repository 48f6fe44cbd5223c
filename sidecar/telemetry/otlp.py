"""Sending by OTLP: whether, by which protocol, and with which exporter."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

EXPORT_TIMEOUT_SECONDS: Final = 2.0
"""The SDK's ten seconds are longer than a whole shutdown may take."""


class Signal(StrEnum):
    """What is sent; the values are those of `sidecar.telemetry.dropped`."""

    TRACES = "traces"
    METRICS = "metrics"


class Protocol(StrEnum):
    """How it is sent."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True)
class Route:
    """How one signal is sent.

    Attributes:
        protocol: HTTP unless gRPC was asked for.
        timeout_seconds: None where the environment sets one, which the exporter reads itself.
        unknown_protocol: A protocol that was asked for and is not offered.
    """

    protocol: Protocol
    timeout_seconds: float | None
    unknown_protocol: str | None = None


def find_route(environ: Mapping[str, str], signal: Signal) -> Route | None:
    """Return how `signal` is sent, or None when nobody asked for it.

    The specification would send to localhost by default. A sidecar that nobody told of a
    collector stays silent instead: an endpoint or `OTEL_*_EXPORTER=otlp` asks for it.
    """
    if is_disabled(environ) or not _is_wanted(environ, signal):
        return None
    asked = _first(environ, signal, "PROTOCOL") or Protocol.HTTP
    timeout_seconds = None if _first(environ, signal, "TIMEOUT") else EXPORT_TIMEOUT_SECONDS
    if asked in set(Protocol):
        return Route(Protocol(asked), timeout_seconds)
    return Route(Protocol.HTTP, timeout_seconds, unknown_protocol=asked)


def is_disabled(environ: Mapping[str, str]) -> bool:
    """Tell whether `OTEL_SDK_DISABLED` switches everything off."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def make_span_exporter(route: Route) -> SpanExporter:
    """Make an exporter; certificates, headers and endpoint come from `OTEL_*`."""
    if route.protocol is Protocol.GRPC:
        # grpc is a large library that most processes never need.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter as GrpcSpanExporter,
        )

        return GrpcSpanExporter(timeout=route.timeout_seconds)
    # Likewise requests, where nothing is sent.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    return OTLPSpanExporter(timeout=route.timeout_seconds)


def make_metric_exporter(route: Route) -> MetricExporter:
    """Make an exporter; certificates, headers and endpoint come from `OTEL_*`."""
    if route.protocol is Protocol.GRPC:
        # As above: loaded only when asked for.
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # noqa: PLC0415
            OTLPMetricExporter as GrpcMetricExporter,
        )

        return GrpcMetricExporter(timeout=route.timeout_seconds)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )

    return OTLPMetricExporter(timeout=route.timeout_seconds)


def _is_wanted(environ: Mapping[str, str], signal: Signal) -> bool:
    exporters = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "")
    if exporters.strip():
        return "otlp" in {name.strip() for name in exporters.split(",")}
    return bool(_first(environ, signal, "ENDPOINT"))


def _first(environ: Mapping[str, str], signal: Signal, name: str) -> str:
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", "")
    return (own or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")).strip()
