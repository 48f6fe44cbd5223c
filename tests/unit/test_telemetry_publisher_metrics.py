"""One span and one duration for each publish; counts that are read when collected."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_current_span

from sidecar.config.secret import Secret
from sidecar.events.publisher import EventPublisher
from sidecar.telemetry.exposition import render_registry
from sidecar.telemetry.logs import TraceContextFilter
from sidecar.telemetry.publisher_metrics import observe_publisher
from sidecar.telemetry.redaction import Redactor
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.span import PUBLISH_SPAN


class OrderPlaced:
    event_type = "OrderPlaced"


@dataclass
class Projection:
    name: str
    error: Exception | None = None
    trace_ids: list[int] = field(default_factory=list)

    def can_handle(self, event: object) -> bool:
        return True

    async def handle(self, event: object) -> None:
        self.trace_ids.append(get_current_span().get_span_context().trace_id)
        if self.error is not None:
            raise self.error


@pytest.fixture
def telemetry(spans: InMemorySpanExporter) -> Iterator[Telemetry]:
    telemetry = Telemetry.start(
        "shop",
        "app",
        version="1.2.3",
        environ={},
        redact=Redactor([Secret("hunter2-hunter2")]),
        span_processors=[SimpleSpanProcessor(spans)],
    )
    yield telemetry
    assert telemetry.close()


@pytest.fixture
def publisher(telemetry: Telemetry) -> EventPublisher:
    publisher = EventPublisher()
    observe_publisher(telemetry, publisher)
    return publisher


async def test_a_publish_is_one_span_with_the_attributes_of_the_contract(
    publisher: EventPublisher, spans: InMemorySpanExporter
) -> None:
    publisher.add_projection(Projection("totals"))
    publisher.add_projection(Projection("audit"))
    await publisher.publish(OrderPlaced())
    (span,) = spans.get_finished_spans()
    assert span.name == "publish OrderPlaced"
    assert span.kind.name.lower() == PUBLISH_SPAN.kind
    assert span.status.status_code is StatusCode.UNSET
    assert set(span.attributes or {}) == set(PUBLISH_SPAN.attributes) - {"error.type"}


async def test_handlers_and_log_lines_join_the_span(
    publisher: EventPublisher,
    spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    projection = Projection("totals", ValueError("no such order"))
    publisher.add_projection(projection)
    caplog.handler.addFilter(TraceContextFilter())
    with caplog.at_level(logging.ERROR):
        await publisher.publish(OrderPlaced())
    (span,) = spans.get_finished_spans()
    context = span.get_span_context()
    assert context is not None
    assert projection.trace_ids == [context.trace_id]
    assert {vars(record)["trace_id"] for record in caplog.records} == {f"{context.trace_id:032x}"}
    assert not get_current_span().get_span_context().is_valid


async def test_each_failure_is_an_exception_event_and_the_status_names_all(
    publisher: EventPublisher, spans: InMemorySpanExporter
) -> None:
    publisher.add_projection(Projection("totals", ValueError("no such order")))
    publisher.add_projection(Projection("audit"))
    publisher.add_projection(Projection("mail", KeyError("to")))
    await publisher.publish(OrderPlaced())
    (span,) = spans.get_finished_spans()
    assert [dict(event.attributes or {})["exception.type"] for event in span.events] == [
        "ValueError",
        "KeyError",
    ]
    assert "no such order" in str(dict(span.events[0].attributes or {})["exception.stacktrace"])
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "Failed: totals, mail"
    assert dict(span.attributes or {})["error.type"] == "ValueError"


async def test_no_secret_reaches_a_span(
    publisher: EventPublisher, spans: InMemorySpanExporter
) -> None:
    publisher.add_projection(Projection("totals", ValueError("key hunter2-hunter2 is refused")))
    await publisher.publish(OrderPlaced())
    (span,) = spans.get_finished_spans()
    assert "hunter2" not in span.to_json()
    assert "key *** is refused" in span.to_json()


@pytest.fixture
def hushed() -> Iterator[None]:
    """Keep lone surrogates out of the captured log, which parallel runs cannot send home."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("hushed")
async def test_an_exception_that_cannot_be_told_harms_nobody(
    publisher: EventPublisher, spans: InMemorySpanExporter
) -> None:
    class UntellableError(Exception):
        def __str__(self) -> str:
            raise OSError

    publisher.add_projection(Projection("totals", UntellableError()))
    publisher.add_projection(Projection("audit", ValueError("file \udcff")))
    result = await publisher.publish(OrderPlaced())
    assert result.failed_projections == ("totals", "audit")
    (span,) = spans.get_finished_spans()
    messages = [str(dict(event.attributes or {})["exception.message"]) for event in span.events]
    assert messages == ["<exception str() failed>", "file ?"]


async def test_a_publisher_is_counted_though_the_sdk_is_disabled() -> None:
    telemetry = Telemetry.start("shop", "app", version="1", environ={"OTEL_SDK_DISABLED": "true"})
    publisher = EventPublisher()
    observe_publisher(telemetry, publisher)
    publisher.add_projection(Projection("totals", ValueError()))
    assert not (await publisher.publish(OrderPlaced())).ok
    assert telemetry.close()


async def test_a_cancelled_publish_ends_its_span(
    publisher: EventPublisher, spans: InMemorySpanExporter
) -> None:
    entered = asyncio.Event()

    async def wait(_event: object) -> None:
        entered.set()
        await asyncio.Event().wait()

    publisher.add_handler(wait)
    task = asyncio.create_task(publisher.publish(OrderPlaced()))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (span,) = spans.get_finished_spans()
    assert [event.name for event in span.events] == ["cancelled"]


async def test_the_first_failure_is_a_rise_from_zero(
    publisher: EventPublisher, telemetry: Telemetry
) -> None:
    async def notify(_event: object) -> None:
        raise OSError

    publisher.add_projection(Projection("totals", ValueError()))
    publisher.add_handler(notify)
    before = render_registry(telemetry.registry).splitlines()
    zero = '{action="collect",error_type="_OTHER",projection="totals"} 0.0'
    assert f"sidecar_projection_failures_total{zero}" in before
    assert 'sidecar_handler_failures_total{error_type="_OTHER",handler="notify"} 0.0' in before
    await publisher.publish(OrderPlaced())
    after = render_registry(telemetry.registry).splitlines()
    one = '{action="collect",error_type="ValueError",projection="totals"} 1.0'
    assert f"sidecar_projection_failures_total{one}" in after
    assert 'sidecar_handler_failures_total{error_type="OSError",handler="notify"} 1.0' in after
    assert 'sidecar_events_published_total{event_type="OrderPlaced"} 1.0' in after
    assert "sidecar_publish_duration_seconds_count 1.0" in after


async def test_two_publishers_of_a_process_add_up(telemetry: Telemetry) -> None:
    first, second = EventPublisher(), EventPublisher()
    observe_publisher(telemetry, first)
    undo = observe_publisher(telemetry, second)
    await first.publish(OrderPlaced())
    await second.publish(OrderPlaced())
    published = 'sidecar_events_published_total{event_type="OrderPlaced"}'
    assert f"{published} 2.0" in render_registry(telemetry.registry)
    undo()
    assert second.observer is None
    assert f"{published} 1.0" in render_registry(telemetry.registry)
