"""One span and one duration for each batch, linked to the writers of its events."""

import json
import uuid
from collections.abc import Iterator

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from sidecar.events.record import RecordedEvent
from sidecar.projections.observer import Action, RunnerObserver, RunnerTally, add_up
from sidecar.telemetry.exposition import render_registry
from sidecar.telemetry.link import add_trace_context
from sidecar.telemetry.projection_metrics import (
    RunnerTelemetry,
    observe_handlers,
    observe_projections,
)
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.span import PROCESS_SPAN


def record(position: int, metadata: str | None = None) -> RecordedEvent:
    return RecordedEvent(
        position=position,
        stream="order-1",
        version=position,
        raw_id=uuid.UUID(int=position).bytes,
        type="OrderPlaced",
        schema_version=1,
        data="{}",
        metadata=metadata,
        recorded_unix=1767225600.0,
    )


def written_by(writer: int) -> str:
    return json.dumps({"traceparent": f"00-{writer:032x}-{writer:016x}-01", "user": 7})


@pytest.fixture
def telemetry(spans: InMemorySpanExporter) -> Iterator[Telemetry]:
    telemetry = Telemetry.start(
        "shop",
        "worker-1",
        version="1.2.3",
        environ={},
        span_processors=[SimpleSpanProcessor(spans)],
    )
    yield telemetry
    assert telemetry.close()


@pytest.fixture
def observer(telemetry: Telemetry) -> RunnerTelemetry:
    return RunnerTelemetry(telemetry)


def test_a_batch_is_a_consumer_span_linked_once_to_each_writer(
    observer: RunnerTelemetry, spans: InMemorySpanExporter
) -> None:
    metadata = [written_by(1), written_by(2), None, "no json", "[1]", '{"traceparent": "x"}']
    events = [record(n, text) for n, text in enumerate([*metadata, written_by(1)], start=1)]
    runner: RunnerObserver = observer
    with runner.batch("totals", events):
        pass
    (span,) = spans.get_finished_spans()
    assert span.name == "process totals"
    assert span.kind is SpanKind.CONSUMER
    assert [link.context.trace_id for link in span.links] == [1, 2]
    optional = {"error.type", "sidecar.links.dropped"}
    assert set(span.attributes or {}) == set(PROCESS_SPAN.attributes) - optional


def test_links_past_the_limit_are_counted(
    observer: RunnerTelemetry, spans: InMemorySpanExporter
) -> None:
    events = [record(n, written_by(n)) for n in range(1, 201)]
    with observer.batch("totals", events):
        pass
    (span,) = spans.get_finished_spans()
    assert len(span.links) == 128
    assert dict(span.attributes or {})["sidecar.links.dropped"] == 72


def test_a_failed_event_is_on_the_span_and_in_the_duration(
    observer: RunnerTelemetry, telemetry: Telemetry, spans: InMemorySpanExporter
) -> None:
    event = record(1)
    with observer.batch("totals", [event]):
        trace_id = observer.trace_id()
        observer.event_failed(event, ValueError("poison"), Action.PARK, 3)
    (span,) = spans.get_finished_spans()
    context = span.get_span_context()
    assert context is not None
    assert trace_id == f"{context.trace_id:032x}"
    assert observer.trace_id() is None
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.events[0].attributes or {})["sidecar.failure.action"] == "park"
    labels = (
        'error_type="ValueError",messaging_consumer_group_name="totals",'
        'messaging_operation_name="process"'
    )
    assert f"messaging_process_duration_seconds_count{{{labels}}} 1.0" in render_registry(
        telemetry.registry
    )


def test_error_types_are_folded_past_the_limit(
    observer: RunnerTelemetry, telemetry: Telemetry
) -> None:
    for number in range(30):
        with observer.batch("totals", []):
            observer.event_failed(record(1), type(f"E{number}", (Exception,), {})(), "park", 1)
    text = render_registry(telemetry.registry)
    counts = [line for line in text.splitlines() if "process_duration_seconds_count" in line]
    assert len(counts) == 21
    assert [line for line in counts if 'error_type="_OTHER"' in line and line.endswith(" 10.0")]


def test_a_writer_s_context_travels_and_is_never_overwritten(
    observer: RunnerTelemetry, spans: InMemorySpanExporter
) -> None:
    assert add_trace_context({"user": 7}) == {"user": 7}
    with observer.batch("totals", []):
        metadata = add_trace_context({"user": 7})
        assert add_trace_context({"traceparent": "theirs"}) == {"traceparent": "theirs"}
    with observer.batch("audit", [record(1, json.dumps(metadata))]):
        pass
    first, second = spans.get_finished_spans()
    (link,) = second.links
    assert link.context.span_id == first.get_span_context().span_id  # type: ignore[union-attr]
    assert second.parent is None


def test_the_loops_numbers_are_shown_while_they_run(telemetry: Telemetry) -> None:
    tally = RunnerTally()
    stop = observe_projections(telemetry, lambda: {"totals": add_up([tally])})
    before = render_registry(telemetry.registry)
    for action in Action:
        assert f'{{action="{action.value}",error_type="_OTHER",projection="totals"}} 0.0' in before
    assert "heartbeat" not in before
    tally.applied = 5
    tally.heartbeat_at = 1.5
    tally.add_failure("ValueError", Action.PARK)
    after = render_registry(telemetry.registry)
    assert 'sidecar_projection_events_total{projection="totals"} 5.0' in after
    assert 'sidecar_projection_heartbeat_timestamp_seconds{projection="totals"} 1.5' in after
    assert '{action="park",error_type="ValueError",projection="totals"} 1.0' in after
    stop()
    assert "totals" not in render_registry(telemetry.registry)


def test_a_handler_that_is_tried_again_has_not_failed(telemetry: Telemetry) -> None:
    tally = RunnerTally()
    observe_handlers(telemetry, lambda: {"mail": add_up([tally])})
    failures = 'sidecar_handler_failures_total{error_type="%s",handler="mail"} %s'
    tally.add_failure("ConnectionResetError", Action.RETRY)
    retried = render_registry(telemetry.registry)
    assert "ConnectionResetError" not in retried
    assert failures % ("_OTHER", "0.0") in retried
    for action in (Action.PARK, Action.HALT):
        tally.add_failure("ConnectionResetError", action)
    final = render_registry(telemetry.registry)
    assert failures % ("ConnectionResetError", "2.0") in final


def test_baggage_stays_behind(telemetry: Telemetry) -> None:
    token = context.attach(baggage.set_baggage("customer", "Ada"))
    with telemetry.tracer.start_as_current_span("order"):
        headers = add_trace_context({"user": 7})
    context.detach(token)
    assert headers.keys() == {"user", "traceparent"}
    assert "Ada" not in str(headers)
