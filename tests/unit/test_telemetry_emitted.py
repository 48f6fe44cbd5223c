"""What the code emits is what `otel/contract.yaml` declares, in both directions."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    InMemoryMetricReader,
    Metric,
    Sum,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sidecar.events.publisher import EventPublisher
from sidecar.events.record import RecordedEvent
from sidecar.postgres.pools.pool_usage import PoolUsage
from sidecar.projections.observer import Action, RunnerTally, add_up
from sidecar.telemetry.appending import AppendTelemetry
from sidecar.telemetry.link import MAX_LINKS
from sidecar.telemetry.pool_metrics import follow_pool
from sidecar.telemetry.process_metrics import observe_agent_failures, observe_loop_lag
from sidecar.telemetry.projection_metrics import (
    RunnerTelemetry,
    observe_handlers,
    observe_projections,
)
from sidecar.telemetry.publisher_metrics import observe_publisher
from sidecar.telemetry.setup import Telemetry
from sidecar.wiring.state_metrics import observe_state
from tests.dashboards import source
from tests.observed import full_state

CONTRACT: Any = source.read(source.CONTRACT)
METRICS = {group["metric_name"]: group for group in CONTRACT["groups"] if group["type"] == "metric"}
SPANS = {
    group["annotations"]["name"].split()[0]: group
    for group in CONTRACT["groups"]
    if group["type"] == "span"
}
SHARED = {
    attribute["id"]: attribute
    for group in CONTRACT["groups"]
    if group["type"] == "attribute_group"
    for attribute in group["attributes"]
    if "id" in attribute
}
OF_EXCEPTIONS = {
    entry.get("ref") or entry["id"]
    for group in CONTRACT["groups"]
    if group["id"] == "sidecar.exception"
    for entry in group["attributes"]
} | {"exception.type", "exception.message", "exception.stacktrace"}
STATE = full_state()


class Pool(PoolUsage):
    """A pool of one connection."""

    def get_size(self) -> int:
        return 1


def recorded(position: int) -> RecordedEvent:
    parent = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
    return RecordedEvent(
        position=position,
        stream="order-1",
        version=position,
        raw_id=uuid.uuid4().bytes,
        type="OrderPlaced",
        schema_version=1,
        data="{}",
        metadata=json.dumps({"traceparent": parent}),
        recorded_unix=1767225600.0,
    )


async def publish(publisher: EventPublisher) -> None:
    async def fail(_event: object) -> None:
        raise ValueError

    publisher.add_handler(fail)
    projection = type("Totals", (), {"name": "totals", "handle": staticmethod(fail)})()
    publisher.add_projection(projection)
    await publisher.publish(object())


async def lend(usage: PoolUsage) -> None:
    async def refuse(error: BaseException) -> None:
        raise error

    async def give() -> object:
        return usage

    usage.record_opened(0.1)
    usage.record_returned(await usage.track(give()))
    for error in (TimeoutError(), OSError(), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await usage.track(refuse(error))


def run_batch(telemetry: Telemetry) -> None:
    runner = RunnerTelemetry(telemetry)
    events = [recorded(position) for position in range(1, MAX_LINKS + 3)]
    with runner.batch("totals", events):
        runner.event_failed(events[0], ValueError(), Action.PARK.value, 1)
    with runner.batch("totals", events[:1]):
        pass


def append(telemetry: Telemetry) -> None:
    store = AppendTelemetry(telemetry)
    with store.append("order-1", "OrderPlaced", 2, {}) as under_way:
        under_way.note_position(7)
    with pytest.raises(ValueError, match="order"), store.append("order-1", "OrderPlaced", 1, {}):
        raise ValueError("order")


def do_everything(telemetry: Telemetry) -> None:
    append(telemetry)
    publisher = EventPublisher()
    observe_publisher(telemetry, publisher)
    asyncio.run(publish(publisher))
    tally = RunnerTally()
    tally.heartbeat_at = tally.progress_at = 1.5
    tally.add_failure("ValueError", Action.HALT)
    observe_projections(telemetry, lambda: {"totals": add_up([tally])})
    observe_handlers(telemetry, lambda: {"mail": add_up([tally])})
    run_batch(telemetry)
    pool = Pool("shop", 20, 60.0)
    follow_pool(telemetry, pool)
    asyncio.run(lend(pool))
    observe_state(telemetry, lambda: STATE)
    observe_loop_lag(telemetry, lambda: 0.001)
    observe_agent_failures(telemetry, lambda: [("pool", 1)])


Emitted = tuple[dict[str, Metric], tuple[ReadableSpan, ...]]


@pytest.fixture(scope="module")
def emitted() -> Iterator[Emitted]:
    reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
    telemetry = Telemetry.start(
        "shop",
        "app",
        version="1.2.3",
        environ={},
        span_processors=[SimpleSpanProcessor(exporter)],
        metric_readers=[reader],
    )
    do_everything(telemetry)
    data = reader.get_metrics_data()
    assert data is not None
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    assert {scope.schema_url for scope in scopes} == {CONTRACT["schema_url"]}
    metrics = {metric.name: metric for scope in scopes for metric in scope.metrics}
    yield metrics, exporter.get_finished_spans()
    assert telemetry.close()


def declared(group: Any) -> dict[str, Any]:
    """Return a group's attributes by name, each with what is said of it elsewhere."""
    entries = [{**SHARED.get(entry.get("ref"), {}), **entry} for entry in group["attributes"]]
    return {entry["id"]: entry for entry in entries}


def values_of(attribute: Any) -> set[str] | None:
    kind = attribute["type"]
    return None if isinstance(kind, str) else {member["value"] for member in kind["members"]}


def kind_of(metric: Metric) -> str:
    data = metric.data
    if isinstance(data, Sum):
        return "counter" if data.is_monotonic else "updowncounter"
    return {Gauge: "gauge", Histogram: "histogram"}[type(data)]


def check_attributes(found: dict[str, Any], group: Any) -> None:
    allowed = declared(group) if "attributes" in group else {}
    assert found.keys() <= allowed.keys()
    for name, attribute in allowed.items():
        if attribute["requirement_level"] in ("required", "recommended"):
            assert name in found
        values = values_of(attribute)
        if values is not None and name in found:
            assert found[name] in values


def test_every_declared_metric_is_emitted_and_no_other(emitted: Emitted) -> None:
    assert emitted[0].keys() == METRICS.keys()


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_emitted_as_declared(emitted: Emitted, name: str) -> None:
    metric, group = emitted[0][name], METRICS[name]
    assert kind_of(metric) == group["instrument"]
    assert metric.unit == group["unit"]
    assert metric.data.data_points
    for point in metric.data.data_points:
        check_attributes(dict(point.attributes or {}), group)
    seen = {key for point in metric.data.data_points for key in point.attributes or {}}
    assert seen == (declared(group).keys() if "attributes" in group else set())


def test_every_outcome_of_a_wait_has_a_series_of_its_own(emitted: Emitted) -> None:
    points = emitted[0]["db.client.connection.wait_time"].data.data_points
    outcomes = {dict(point.attributes or {})["outcome"] for point in points}
    attribute = declared(METRICS["db.client.connection.wait_time"])["outcome"]
    assert outcomes == values_of(attribute)


def test_every_declared_span_is_emitted_and_no_other(emitted: Emitted) -> None:
    assert {span.name.split()[0] for span in emitted[1]} == SPANS.keys()


@pytest.mark.parametrize("operation", SPANS)
def test_a_span_is_emitted_as_declared(emitted: Emitted, operation: str) -> None:
    group = SPANS[operation]
    spans = [span for span in emitted[1] if span.name.split()[0] == operation]
    for span in spans:
        assert span.kind.name.lower() == group["span_kind"]
        check_attributes(dict(span.attributes or {}), group)
        for event in span.events:
            assert event.name == "exception"
            assert (event.attributes or {}).keys() <= OF_EXCEPTIONS
    assert {key for span in spans for key in span.attributes or {}} == declared(group).keys()
    told = {key for span in spans for event in span.events for key in event.attributes or {}}
    assert {"exception.type", "exception.stacktrace"} <= told


def test_a_batch_links_each_writer_and_counts_those_past_the_limit(emitted: Emitted) -> None:
    full, small = [span for span in emitted[1] if span.name == "process totals"]
    assert len(full.links) == MAX_LINKS
    assert dict(full.attributes or {})["sidecar.links.dropped"] == 2
    assert len(small.links) == 1
