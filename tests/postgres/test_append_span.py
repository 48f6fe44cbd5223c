"""An append is a span that its events carry along: from the request to the handlers' work."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from sidecar.errors import ConcurrencyError, EventTypeError, UsageError
from sidecar.events.record import RecordedEvent
from sidecar.telemetry.projection_metrics import RunnerTelemetry
from sidecar.telemetry.setup import Telemetry
from sidecar.wiring.instrument import follow_store, instrument, uninstrument
from tests.postgres.shop import Paid, Placed
from tests.postgres.stage import Stage, open_stage

THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(spans: InMemorySpanExporter) -> Iterator[Telemetry]:
    telemetry = Telemetry.start(
        "shop", "app", version="1", environ={}, span_processors=[SimpleSpanProcessor(spans)]
    )
    yield telemetry
    telemetry.close()


@pytest.fixture
async def stage(database: str, telemetry: Telemetry) -> AsyncIterator[Stage]:
    async with open_stage(database) as stage:
        with ExitStack() as stack:
            follow_store(stack, telemetry, stage.store)
            yield stage


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def writer_of(record: RecordedEvent) -> str:
    _, _, span_id, _ = str(record.headers()["traceparent"]).split("-")
    return span_id


async def only_record(stage: Stage) -> RecordedEvent:
    [record] = await stage.store.read()
    return record


async def test_append_is_a_producers_span_within_the_request_and_its_events_carry_it(
    stage: Stage, telemetry: Telemetry, spans: InMemorySpanExporter
) -> None:
    with telemetry.tracer.start_as_current_span("POST /orders") as request:
        await stage.store.append("order-1", [Placed("1", 5), Paid("1")], metadata={"user": 7})
        await stage.store.append("order-2", [Paid("2")])
    both, single, _ = spans.get_finished_spans()
    assert (both.name, both.kind) == ("append Placed", SpanKind.PRODUCER)
    assert both.parent == single.parent == request.get_span_context()
    assert dict(both.attributes or {}) == {
        "messaging.system": "sidecar",
        "messaging.operation.name": "append",
        "messaging.operation.type": "send",
        "messaging.destination.name": "order-1",
        "messaging.batch.message_count": 2,
        "event_type": "Placed",
        "sidecar.position": 2,
    }
    assert "messaging.batch.message_count" not in (single.attributes or {})
    records = await stage.store.read()
    writers = [format_span_id(id_of(span)) for span in (both, both, single)]
    assert [writer_of(record) for record in records] == writers
    assert [record.headers().get("user") for record in records] == [7, 7, None]

    runner = RunnerTelemetry(telemetry)
    with runner.batch("totals", records):
        pass
    *_, process = spans.get_finished_spans()
    assert [link.context.span_id for link in process.links] == [id_of(both), id_of(single)]


async def test_trace_that_the_caller_gives_is_kept_and_linked(
    stage: Stage, spans: InMemorySpanExporter
) -> None:
    await stage.store.append("order-1", [Paid("1")], metadata={"traceparent": THEIRS})
    [span] = spans.get_finished_spans()
    assert (await only_record(stage)).headers() == {"traceparent": THEIRS}
    [link] = span.links
    assert format_trace_id(link.context.trace_id) in THEIRS


@pytest.mark.parametrize("theirs", ["nonsense", 7, None])
async def test_what_the_caller_gives_in_place_of_a_trace_is_kept_as_it_is(
    stage: Stage, spans: InMemorySpanExporter, theirs: object
) -> None:
    await stage.store.append("order-1", [Paid("1")], metadata={"traceparent": theirs})
    assert (await only_record(stage)).headers() == {"traceparent": theirs}
    [span] = spans.get_finished_spans()
    assert list(span.links) == []


async def test_append_that_fails_says_so_on_its_span(
    stage: Stage, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(ConcurrencyError):
        await stage.store.append("order-1", [Paid("1")], expected_version=7)
    with pytest.raises(EventTypeError):
        await stage.store.append("order-1", [object()])
    for span, error_type in zip(
        spans.get_finished_spans(), ("ConcurrencyError", "EventTypeError"), strict=True
    ):
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == error_type
        assert [event.name for event in span.events] == ["exception"]


@pytest.mark.parametrize("metadata", ["text", [1]])
async def test_metadata_that_is_no_mapping_is_refused_before_anybody_observes(
    stage: Stage, spans: InMemorySpanExporter, metadata: Any
) -> None:
    with pytest.raises(UsageError, match="mapping"):
        await stage.store.append("order-1", [Paid("1")], metadata=metadata)
    assert spans.get_finished_spans() == ()


async def test_append_that_is_cancelled_ends_its_span(
    stage: Stage, spans: InMemorySpanExporter
) -> None:
    task = asyncio.create_task(stage.store.append("order-1", [Paid("1")]))
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    [span] = spans.get_finished_spans()
    assert [event.name for event in span.events] == ["cancelled"]
    assert span.status.status_code is StatusCode.UNSET


async def test_store_that_nobody_observes_keeps_no_trace(database: str) -> None:
    async with open_stage(database) as stage:
        await stage.store.append("order-1", [Paid("1")])
        assert (await only_record(stage)).metadata is None


async def test_store_is_instrumented_where_no_telemetry_is_set_up_and_let_go_again(
    stage: Stage, spans: InMemorySpanExporter
) -> None:
    previous = stage.store.observer
    assert instrument(instrument(stage.store)) is stage.store
    assert stage.store.observer is not previous
    await stage.store.append("order-1", [Paid("1")])
    assert (await only_record(stage)).metadata is None
    assert spans.get_finished_spans() == ()
    uninstrument(stage.store)
    assert stage.store.observer is previous
