"""Appends, as spans: what was written, and where a handler's work came from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import Span, SpanKind, use_span

from sidecar.telemetry import attribute
from sidecar.telemetry.failure import mark_failed, record_exception
from sidecar.telemetry.link import add_trace_context, link_given_context
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.span import APPEND_SPAN


@dataclass(slots=True)
class Appending:
    """One append under way.

    Attributes:
        metadata: What is kept with each of its events.
    """

    metadata: Mapping[str, object]
    _span: Span

    def note_position(self, position: int) -> None:
        """Record the position of the last event."""
        self._span.set_attribute(attribute.SPAN_POSITION, position)


class AppendTelemetry:
    """Observes a store: each append is a span, and its events carry it to their handlers."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._start_span: Final = telemetry.tracer.start_span
        self._redact: Final = telemetry.redact

    @contextmanager
    def append(
        self, stream: str, event_type: str, count: int, metadata: Mapping[str, object]
    ) -> Iterator[Appending]:
        """Start the span and make it current, so that the statement's own span joins it."""
        span = self._start_span(
            f"append {event_type}",
            kind=SpanKind.PRODUCER,
            attributes={
                attribute.MESSAGING_SYSTEM: attribute.SYSTEM,
                attribute.OPERATION_NAME: APPEND_SPAN.operation,
                attribute.OPERATION_TYPE: attribute.SEND,
                attribute.DESTINATION: stream,
                attribute.EVENT_TYPE: event_type,
            },
        )
        if count > 1:
            span.set_attribute(attribute.BATCH_COUNT, count)
        link_given_context(span, metadata)
        with use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield Appending(add_trace_context(metadata), span)
            except Exception as error:
                record_exception(span, error, self._redact, {})
                mark_failed(span, type(error).__name__, f"The append of {event_type} failed")
                raise
            except BaseException:
                span.add_event("cancelled")
                raise
