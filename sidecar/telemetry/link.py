"""From writers to batches and back, by the `traceparent` in the metadata of events."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sidecar.events.record import RecordedEvent
from sidecar.telemetry import attribute
from sidecar.telemetry.logs import current_ids

MAX_LINKS: Final = 128
"""The SDK keeps no more on a span."""


def add_trace_context(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return metadata with the current `traceparent` and `tracestate`; outside a span, as it is.

    A context that the caller has put there is never overwritten. Baggage stays behind: it may hold
    what must not be stored.
    """
    if "traceparent" in metadata:
        return dict(metadata)
    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return {**metadata, **headers}


def link_given_context(span: Span, metadata: Mapping[str, object]) -> None:
    """Link a writer's span to the context that the caller gave its events instead."""
    given = {
        name: str(metadata[name]) for name in ("traceparent", "tracestate") if name in metadata
    }
    if span.is_recording() and given:
        context = _parse_context(_Metadata(**given))
        if context.is_valid:
            span.add_link(context)


class _Metadata(msgspec.Struct, omit_defaults=True):
    traceparent: str | None = None
    tracestate: str | None = None


def link_writers(span: Span, events: Sequence[RecordedEvent]) -> None:
    """Link a batch's span to each distinct writer; what is past the limit is counted on it.

    Links, not parents: a batch has many writers, and they ended long ago.
    """
    writers = _find_writers(events)
    for headers in writers[:MAX_LINKS]:
        context = _parse_context(headers)
        if context.is_valid:
            span.add_link(context)
    if len(writers) > MAX_LINKS:
        span.set_attribute(attribute.LINKS_DROPPED, len(writers) - MAX_LINKS)


def _find_writers(events: Sequence[RecordedEvent]) -> list[_Metadata]:
    """Return the distinct writers of a batch, in order of their first event."""
    decode = msgspec.json.Decoder(_Metadata).decode
    writers: dict[str, _Metadata] = {}
    for event in events:
        if event.metadata is None:
            continue
        try:
            metadata = decode(event.metadata)
        except (msgspec.DecodeError, UnicodeError):
            continue  # foreign metadata decides nothing
        if metadata.traceparent is not None:
            writers.setdefault(metadata.traceparent, metadata)
    return list(writers.values())


def _parse_context(headers: _Metadata) -> SpanContext:
    carrier = msgspec.to_builtins(headers)
    extracted = TraceContextTextMapPropagator().extract(carrier, Context())
    return get_current_span(extracted).get_span_context()


def current_trace_id() -> str | None:
    """Return the id of the trace under way in this task, if there is one."""
    return current_ids()[0] or None
