"""OpenTelemetry's providers, with their receivers, for one process."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry

from sidecar.telemetry.bounded_export import BoundedSpanProcessor, CountingMetricExporter, Losses
from sidecar.telemetry.otel_variable import is_disabled, read_count
from sidecar.telemetry.otlp import make_metric_exporter, make_span_exporter
from sidecar.telemetry.otlp_route import Route, Signal, find_route
from sidecar.telemetry.sampler import choose_sampler

MAX_SERIES_PER_COUNTER: Final = 10_000
"""100 projections with 20 error types and 4 actions come to 8,000; the SDK's default is 2,000."""

INTERVAL_MILLISECONDS: Final = 60_000
"""The SDK's own default; `OTEL_METRIC_EXPORT_INTERVAL` sets another."""

Shutdown = Callable[[], object]
Sender = TypeVar("Sender")

logger = logging.getLogger(__name__)


class _Meters(MeterProvider):
    """Measures for `/metrics` though `OTEL_SDK_DISABLED` is set, which is about what is sent."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - those of the SDK
        super().__init__(**options)
        self._disabled = False


def choose_tracers(
    resource: Resource,
    environ: Mapping[str, str],
    losses: Losses,
    processors: Sequence[SpanProcessor],
    *,
    own_process: bool,
) -> tuple[trace.TracerProvider, Shutdown | None]:
    """Return the tracer provider, and what ends it; None where this process does not end it.

    A provider that the application has set receives our spans too: sending them by a second one
    would split its traces.
    """
    if is_disabled(environ):
        return trace.NoOpTracerProvider(), None
    existing = trace.get_tracer_provider()
    is_free = isinstance(existing, trace.ProxyTracerProvider)
    if not is_free and not processors:
        return existing, None
    receivers = [*processors, *_make_processors(environ, losses)]
    provider = TracerProvider(
        resource=resource,
        # Where no spans are exported, they still give logs their ids, at half of the cost.
        sampler=choose_sampler(environ) if receivers else ALWAYS_OFF,
        shutdown_on_exit=False,
    )
    for receiver in receivers:
        provider.add_span_processor(receiver)
    if own_process and is_free:
        trace.set_tracer_provider(provider)
    return provider, provider.shutdown


def make_meters(
    resource: Resource, registry: CollectorRegistry, readers: Sequence[MetricReader]
) -> MeterProvider:
    """Return the provider of durations, and of all else for `readers`, that fills `registry`."""
    exposition = PrometheusMetricReader(
        disable_target_info=True,
        scope_info_enabled=False,
        registry=registry,
        cardinality_limits={ObservableCounter: MAX_SERIES_PER_COUNTER},
    )
    return _Meters(
        metric_readers=[exposition, *readers],
        resource=resource,
        # The Prometheus exporter shows no exemplars; keeping them would cost 3 µs a record.
        exemplar_filter=None if readers else AlwaysOffExemplarFilter(),
        shutdown_on_exit=False,
    )


def _make_processors(environ: Mapping[str, str], losses: Losses) -> list[SpanProcessor]:
    def make(route: Route) -> SpanProcessor:
        if route.unknown_protocol is not None:
            logger.warning(
                "OTEL_EXPORTER_OTLP_PROTOCOL=%s is not offered; using http/protobuf. "
                "Set it to http/protobuf or grpc.",
                route.unknown_protocol,
                extra={"event": "sidecar.telemetry.protocol_unknown"},
            )
        return BoundedSpanProcessor(make_span_exporter(route), losses, environ)

    return _make_sender(environ, Signal.TRACES, make)


def make_readers(environ: Mapping[str, str], losses: Losses) -> list[MetricReader]:
    """Return what sends metrics, where that was asked for."""

    def make(route: Route) -> MetricReader:
        return PeriodicExportingMetricReader(
            CountingMetricExporter(make_metric_exporter(route), losses),
            read_count(environ, "OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MILLISECONDS),
            1000 * route.timeout_seconds,
        )

    return _make_sender(environ, Signal.METRICS, make)


def _make_sender(
    environ: Mapping[str, str], signal: Signal, make: Callable[[Route], Sender]
) -> list[Sender]:
    """Return what sends a signal; nothing where that was not asked for, or is refused."""
    route = find_route(environ, signal)
    try:
        return [] if route is None else [make(route)]
    except (ValueError, OSError, ImportError) as error:
        logger.warning(
            "No %s are sent, because OpenTelemetry refuses its settings: %s. Check the OTEL_* "
            "variables.",
            signal.value,
            str(error).rstrip("."),
            extra={"event": "sidecar.telemetry.settings_refused", "signal": signal.value},
        )
        return []
