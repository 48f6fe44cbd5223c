"""Telemetry may be lost, but never silently: bounded export that counts what it drops."""

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from typing_extensions import override

from sidecar.telemetry.attribute import SIGNAL
from sidecar.telemetry.collector import Reading
from sidecar.telemetry.log_filter import RepeatFilter
from sidecar.telemetry.otel_variable import read_count
from sidecar.telemetry.otlp_route import Signal

QUEUE_SPANS: Final = 8192
"""About 30 s at 250 spans a second; `OTEL_BSP_MAX_QUEUE_SIZE` sets another."""
BATCH_SPANS: Final = 512
"""The SDK's own default; `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` sets another."""
DELAY_MILLISECONDS: Final = 5000
"""Likewise; `OTEL_BSP_SCHEDULE_DELAY` sets another."""

logger = logging.getLogger(__name__)


class Losses:
    """Spans and metric exports lost, by signal; logged once each, counted always.

    Attributes:
        is_written_off: The time is up: what is left is counted already, and is sent no more.
    """

    __slots__ = ("_counts", "_lock", "_unsent", "is_written_off")

    def __init__(self) -> None:
        self.is_written_off = False
        self._counts: Final = dict.fromkeys(Signal, 0)
        self._unsent: Final[list[Callable[[], int]]] = []
        self._lock: Final = threading.Lock()

    def watch(self, unsent: Callable[[], int]) -> None:
        """Let `write_off` know how many spans a queue still holds."""
        self._unsent.append(unsent)

    def write_off(self) -> int:
        """Count the spans that were not sent before the end, and return how many there are."""
        with self._lock:
            self.is_written_off = True
            count = sum(unsent() for unsent in self._unsent)
            self._unsent.clear()
            self._counts[Signal.TRACES] += count
        return count

    def add(self, signal: Signal, count: int, reason: str) -> None:
        """Count what was lost; may be called from any thread."""
        with self._lock:
            if self.is_written_off:
                return
            first = not self._counts[signal]
            self._counts[signal] += count
        if first and count:
            logger.warning(
                "Dropping %s: %s. Further losses are only counted, in sidecar.telemetry.dropped.",
                signal.value,
                reason,
                extra={"event": "sidecar.telemetry.dropped", "signal": signal.value},
            )

    def total(self) -> int:
        """Return how much was lost of all signals together."""
        return sum(self._counts.values())

    def read(self) -> Iterable[Reading]:
        """Return the counts, zeros included."""
        return [(count, {SIGNAL: signal.value}) for signal, count in self._counts.items()]


class BoundedSpanProcessor(BatchSpanProcessor):
    """A `BatchSpanProcessor` whose queue never overflows unseen.

    The SDK's own queue drops its oldest span and says so only in a log line; here the newest is
    refused, and counted, once as many are on their way as the queue holds.
    """

    def __init__(self, exporter: SpanExporter, losses: Losses, environ: Mapping[str, str]) -> None:
        batch_spans = read_count(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_SPANS)
        queue_spans = read_count(environ, "OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_SPANS)
        # The SDK has always read this one in milliseconds, so that small numbers are meant.
        delay = read_count(environ, "OTEL_BSP_SCHEDULE_DELAY", DELAY_MILLISECONDS)
        self._losses: Final = losses
        self._limit: Final = max(queue_spans, batch_spans)
        self._handed_over = 0
        self._counting: Final = _CountingSpanExporter(exporter, losses)
        super().__init__(
            self._counting,
            max_queue_size=self._limit,
            schedule_delay_millis=delay,
            max_export_batch_size=batch_spans,
            export_timeout_millis=30_000,  # the SDK reads and ignores it
        )
        losses.watch(lambda: self._handed_over - self._counting.done)
        self._forget_queue_after_fork()

    @override
    def on_end(self, span: ReadableSpan) -> None:
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        # Two threads may count one too few here: the SDK's queue then drops one span unseen.
        if self._handed_over - self._counting.taken >= self._limit:
            self._losses.add(Signal.TRACES, 1, "the queue is full")
            return
        self._handed_over += 1
        super().on_end(span)

    def _forget_queue_after_fork(self) -> None:
        """In a child the SDK's queue is empty again, so nothing is on its way."""
        weak = weakref.WeakMethod(self._forget)

        def forget() -> None:
            if (method := weak()) is not None:
                method()

        os.register_at_fork(after_in_child=forget)

    def _forget(self) -> None:
        self._counting.taken = self._counting.done = self._handed_over


class _CountingSpanExporter(SpanExporter):
    def __init__(self, exporter: SpanExporter, losses: Losses) -> None:
        self._exporter: Final = exporter
        self._losses: Final = losses
        self._repeats: Final = RepeatFilter(exporter)
        self.taken = 0
        self.done = 0

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._losses.is_written_off:
            return SpanExportResult.FAILURE
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            with self._repeats:
                result = self._exporter.export(spans)
        finally:
            self.done += len(spans)
            if result is not SpanExportResult.SUCCESS:
                self._losses.add(Signal.TRACES, len(spans), "the receiver failed")
        return result

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()
        self._repeats.close()


class CountingMetricExporter(MetricExporter):
    """Passes metrics on and counts each export that fails as one loss."""

    def __init__(self, exporter: MetricExporter, losses: Losses) -> None:
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,  # noqa: SLF001 - as the SDK's
            preferred_aggregation=exporter._preferred_aggregation,  # noqa: SLF001 - own reader does
        )
        self._exporter: Final = exporter
        self._losses: Final = losses
        self._repeats: Final = RepeatFilter(exporter)

    @override
    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object
    ) -> MetricExportResult:
        result = MetricExportResult.FAILURE
        try:
            with self._repeats:
                result = self._exporter.export(
                    metrics_data, timeout_millis=timeout_millis, **kwargs
                )
        finally:
            if result is not MetricExportResult.SUCCESS:
                self._losses.add(Signal.METRICS, 1, "the receiver failed")
        return result

    @override
    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    @override
    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        self._exporter.shutdown(timeout_millis=timeout_millis, **kwargs)
        self._repeats.close()
