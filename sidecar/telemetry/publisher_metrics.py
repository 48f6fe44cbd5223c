"""Publishing, as spans and numbers: one span and one duration for each event."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from contextvars import Token
from typing import Final, NamedTuple, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, set_span_in_context

from sidecar.events.publish_result import PublishResult
from sidecar.events.publisher import EventPublisher, PublishObserver
from sidecar.events.tally import OTHER, PublishTally, SubscriberTally
from sidecar.telemetry import attribute, metric
from sidecar.telemetry.collector import Reading
from sidecar.telemetry.failure import mark_failed, record_exception
from sidecar.telemetry.instrumented_publisher import InstrumentedPublisher
from sidecar.telemetry.link import current_trace_id
from sidecar.telemetry.outside import merge, recorder
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.span import PUBLISH_SPAN


class Begun(NamedTuple):
    """A publish under way; it ends in the task that began it."""

    span: Span
    token: Token[Context]
    began_mono: float


class PublishTelemetry:
    """Observes a publisher; hot counters stay plain integers until they are collected.

    Durations are recorded for the observer `beside`, too: who observed before, and does again
    afterwards.
    """

    def __init__(self, telemetry: Telemetry, beside: PublishObserver | None = None) -> None:
        self._start_span: Final = telemetry.tracer.start_span
        self._redact: Final = telemetry.redact
        others = beside.histograms if isinstance(beside, PublishTelemetry) else ()
        self.histograms: Final[tuple[Histogram, ...]] = merge(
            telemetry.histograms(metric.PUBLISH_DURATION), others
        )
        self._record: Final = recorder(self.histograms)

    def begin(self, event_type: str) -> Begun:
        """Start the span and make it current, so that handlers and log lines join it."""
        span = self._start_span(
            f"publish {event_type}",
            attributes={
                attribute.MESSAGING_SYSTEM: attribute.SYSTEM,
                attribute.OPERATION_NAME: PUBLISH_SPAN.operation,
                attribute.EVENT_TYPE: event_type,
            },
        )
        token = otel_context.attach(set_span_in_context(span))
        return Begun(span, token, time.perf_counter())

    def end(self, token: object, result: PublishResult | None) -> None:
        """Record failures and duration, and end the span."""
        span, context_token, began_mono = cast("Begun", token)
        self._record(time.perf_counter() - began_mono, None)
        otel_context.detach(context_token)
        if result is None:
            span.add_event("cancelled")
        elif result.failures:
            self._record_failures(span, result)
        span.end()

    trace_id = staticmethod(current_trace_id)

    def _record_failures(self, span: Span, result: PublishResult) -> None:
        for failure in result.failures:
            record_exception(
                span, failure.error, self._redact, {attribute.SPAN_SUBSCRIBER: failure.name}
            )
        names = ", ".join(failure.name for failure in result.failures)
        mark_failed(span, result.failures[0].error_type, f"Failed: {names}")


Publishing = EventPublisher | InstrumentedPublisher
"""A publisher that counts, or another that is counted from outside."""


def observe_publisher(telemetry: Telemetry, publisher: Publishing) -> Callable[[], None]:
    """Show a publisher's numbers and spans; call the returned function to undo it."""
    tally = publisher.tally
    handlers, projections = tally.handlers, tally.projections
    action: dict[str, str] = {attribute.ACTION: attribute.COLLECT}
    stop = telemetry.observe(
        {
            metric.EVENTS_PUBLISHED: lambda: _read_published(tally),
            metric.HANDLER_EVENTS: lambda: _read_handled(handlers, attribute.HANDLER),
            metric.HANDLER_FAILURES: lambda: _read_failures(handlers, attribute.HANDLER, {}),
            metric.PROJECTION_EVENTS: lambda: _read_handled(projections, attribute.PROJECTION),
            metric.PROJECTION_FAILURES: lambda: _read_failures(
                projections, attribute.PROJECTION, action
            ),
        },
        tally,
    )
    stack = ExitStack()
    stack.callback(stop)
    stack.callback(setattr, publisher, "observer", publisher.observer)
    publisher.observer = PublishTelemetry(telemetry, publisher.observer)
    return stack.close


def _read_published(tally: PublishTally) -> Iterable[Reading]:
    return [(count, {attribute.EVENT_TYPE: name}) for name, count in tuple(tally.published.items())]


def _read_handled(tallies: Mapping[str, SubscriberTally], label: str) -> Iterable[Reading]:
    return [(each.handled, {label: name}) for name, each in tuple(tallies.items())]


def _read_failures(
    tallies: Mapping[str, SubscriberTally], label: str, more: Mapping[str, str]
) -> Iterable[Reading]:
    # A sum over error types must exist before the first failure, to be seen rising.
    return [
        (count, {label: name, attribute.ERROR_TYPE: error_type, **more})
        for name, each in tuple(tallies.items())
        for error_type, count in tuple({OTHER: 0, **each.failures}.items())
    ]
