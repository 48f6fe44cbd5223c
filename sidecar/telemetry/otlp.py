"""Exporters: each library is loaded only where something is sent by it."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from sidecar.telemetry.otlp_route import Protocol, Route

_GRPC_COMPRESSIONS: Final = {"none": "NoCompression", "deflate": "Deflate", "gzip": "Gzip"}


def make_span_exporter(route: Route) -> SpanExporter:
    """Make an exporter.

    Raises:
        ValueError: The compression is unknown.
        OSError: A certificate's file cannot be read.
    """
    # ruff: noqa: PLC0415 - grpc and requests are large libraries that most processes never need
    if route.protocol is Protocol.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
            OTLPSpanExporter as GrpcSpanExporter,
        )

        return GrpcSpanExporter(**_grpc_options(route))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(**_http_options(route))


def make_metric_exporter(route: Route) -> MetricExporter:
    """Make an exporter.

    Raises:
        ValueError: The compression is unknown.
        OSError: A certificate's file cannot be read.
    """
    if route.protocol is Protocol.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as GrpcMetricExporter,
        )

        return GrpcMetricExporter(**_grpc_options(route))
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(**_http_options(route))


def _http_options(route: Route) -> dict[str, Any]:
    from opentelemetry.exporter.otlp.proto.http import Compression

    return {
        "endpoint": route.endpoint,
        "certificate_file": route.certificate,
        "client_key_file": route.client_key,
        "client_certificate_file": route.client_certificate,
        "headers": route.headers,
        "timeout": route.timeout_seconds,
        "compression": Compression(route.compression),
    }


def _grpc_options(route: Route) -> dict[str, Any]:
    grpc = import_module("grpc")
    if route.compression not in _GRPC_COMPRESSIONS:
        raise ValueError(f"{route.compression!r} is no compression of gRPC")
    files = (route.certificate, route.client_key, route.client_certificate)
    return {
        "endpoint": route.endpoint,
        "insecure": route.is_insecure,
        "credentials": None
        if route.is_insecure
        else grpc.ssl_channel_credentials(*map(_read, files)),
        "headers": tuple(route.headers.items()),
        "timeout": route.timeout_seconds,
        "compression": grpc.Compression[_GRPC_COMPRESSIONS[route.compression]],
    }


def _read(file: str | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()
