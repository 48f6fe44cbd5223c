"""Exporters: each library is loaded only where something is sent by it."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
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
    exporter: SpanExporter = _load(route, "trace_exporter").OTLPSpanExporter(**_options(route))
    return exporter


def make_metric_exporter(route: Route) -> MetricExporter:
    """Make an exporter; it raises what `make_span_exporter` does."""
    exporter: MetricExporter = _load(route, "metric_exporter").OTLPMetricExporter(**_options(route))
    return exporter


def _load(route: Route, module: str) -> ModuleType:
    """Grpc and requests are large libraries that most processes never need."""
    way = "grpc" if route.protocol is Protocol.GRPC else "http"
    return import_module(f"opentelemetry.exporter.otlp.proto.{way}.{module}")


def _options(route: Route) -> dict[str, Any]:
    return {
        "endpoint": route.endpoint,
        "timeout": route.timeout_seconds,
        **(_grpc_options(route) if route.protocol is Protocol.GRPC else _http_options(route)),
    }


def _http_options(route: Route) -> dict[str, Any]:
    http = import_module("opentelemetry.exporter.otlp.proto.http")
    return {
        "certificate_file": route.certificate,
        "client_key_file": route.client_key,
        "client_certificate_file": route.client_certificate,
        "headers": route.headers,
        "compression": http.Compression(route.compression),
    }


def _grpc_options(route: Route) -> dict[str, Any]:
    grpc = import_module("grpc")
    if route.compression not in _GRPC_COMPRESSIONS:
        raise ValueError(f"{route.compression!r} is no compression of gRPC")
    files = (route.certificate, route.client_key, route.client_certificate)
    return {
        "insecure": route.is_insecure,
        "credentials": None
        if route.is_insecure
        else grpc.ssl_channel_credentials(*map(_read, files)),
        "headers": tuple(route.headers.items()),
        "compression": grpc.Compression[_GRPC_COMPRESSIONS[route.compression]],
    }


def _read(file: str | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()
