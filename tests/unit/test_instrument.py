"""A publisher and a pool that a service already has tell of themselves, and can stop doing so."""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import asyncpg
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span

from sidecar.errors import UsageError
from sidecar.events.publisher import EventPublisher
from sidecar.postgres.pools.instrumented_pool import find_instrumented
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.telemetry.exposition import render_registry
from sidecar.telemetry.setup import Telemetry
from sidecar.wiring.instrument import (
    follow_any_pool,
    follow_any_publisher,
    instrument,
    uninstrument,
)


class OrderPlaced:
    event_type = "order_placed"


class Projection:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.traces: list[int] = []

    def can_handle(self, event: object) -> bool:
        return True

    async def handle(self, event: object) -> None:
        """Keep the read model true."""
        self.traces.append(get_current_span().get_span_context().trace_id)
        if self.error is not None:
            raise self.error


class Mails(Projection):
    pass


class TheirPublisher:
    """Keeps the failures of projections to itself, but for a line in the log."""

    def __init__(self) -> None:
        self._projections: list[Projection] = []
        self.swallowed = 0

    async def publish(self, event: object, *, urgent: bool = False) -> str:
        """Tell everybody."""
        for projection in self._projections:
            if projection.can_handle(event):
                try:
                    await projection.handle(event)
                except ValueError:
                    self.swallowed += 1
        return "urgent" if urgent else "done"


@pytest.fixture
def telemetry(spans: InMemorySpanExporter) -> Iterator[Telemetry]:
    telemetry = Telemetry.start(
        "shop", "app", version="1", environ={}, span_processors=[SimpleSpanProcessor(spans)]
    )
    yield telemetry
    assert telemetry.close()


async def test_a_publisher_of_another_make_has_spans_counts_and_failures(
    telemetry: Telemetry, spans: InMemorySpanExporter
) -> None:
    publisher = TheirPublisher()
    totals, mails = Projection(ValueError("no such order")), Mails()
    publisher._projections = [totals]
    with ExitStack() as stack:
        follow_any_publisher(stack, telemetry, publisher)
        publisher._projections.append(mails)
        assert await publisher.publish(OrderPlaced(), urgent=True) == "urgent"
        text = render_registry(telemetry.registry)
    (span,) = spans.get_finished_spans()
    context = span.get_span_context()
    assert context is not None
    assert span.name == "publish order_placed"
    assert span.status.description == "Failed: Projection"
    assert totals.traces == mails.traces == [context.trace_id]
    assert publisher.swallowed == 1
    failure = '{action="collect",error_type="ValueError",projection="Projection"} 1.0'
    assert f"sidecar_projection_failures_total{failure}" in text
    assert 'sidecar_projection_events_total{projection="Mails"} 1.0' in text
    assert 'sidecar_events_published_total{event_type="order_placed"} 1.0' in text
    assert "sidecar_publish_duration_seconds_count 1.0" in text


async def test_what_a_publisher_raises_is_told_and_passes(
    telemetry: Telemetry, spans: InMemorySpanExporter
) -> None:
    publisher = TheirPublisher()
    publisher._projections = [Projection(KeyError("to"))]
    with ExitStack() as stack:
        follow_any_publisher(stack, telemetry, publisher)
        with pytest.raises(KeyError):
            await publisher.publish(OrderPlaced())
    (span,) = spans.get_finished_spans()
    assert span.status.description == "Failed: Projection, TheirPublisher"


async def test_undoing_leaves_no_trace(telemetry: Telemetry) -> None:
    publisher, projection = TheirPublisher(), Projection()
    publisher._projections = [projection]
    before = inspect.signature(publisher.publish)
    with ExitStack() as stack:
        follow_any_publisher(stack, telemetry, publisher)
        assert inspect.signature(publisher.publish) == before
        assert publisher.publish.__doc__ == "Tell everybody."
        assert inspect.iscoroutinefunction(publisher.publish)
    assert vars(publisher).keys() == {"_projections", "swallowed"}
    assert vars(projection).keys() == {"error", "traces"}
    await publisher.publish(OrderPlaced())
    assert "sidecar_publish_duration_seconds_count 1" not in render_registry(telemetry.registry)


async def test_instrumenting_twice_counts_once() -> None:
    publisher = TheirPublisher()
    assert instrument(instrument(publisher)) is publisher
    instrumented = vars(publisher)["publish"].__sidecar_instrumented__
    await publisher.publish(OrderPlaced())
    assert instrumented.tally.published == {"order_placed": 1}
    uninstrument(publisher)
    uninstrument(publisher)
    assert "publish" not in vars(publisher)


async def test_our_own_publisher_and_pool_are_taken_too() -> None:
    publisher, pool = EventPublisher(), MeteredPool("postgresql://127.0.0.1:9/shop")
    instrument(publisher)
    instrument(pool)
    assert [each.observer is None for each in (publisher, pool)] == [False, False]
    uninstrument(publisher)
    uninstrument(pool)
    assert [each.observer is None for each in (publisher, pool)] == [True, True]


async def test_a_plain_pool_is_told_of_until_it_is_undone(telemetry: Telemetry) -> None:
    pool = asyncpg.create_pool("postgresql://127.0.0.1:9/shop", min_size=0, max_size=7)
    with ExitStack() as stack:
        follow_any_pool(stack, telemetry, pool, "theirs")
        count = 'db_client_connection_max{db_client_connection_pool_name="theirs"} 7.0'
        assert count in render_registry(telemetry.registry)
        assert isinstance(pool, asyncpg.Pool)
    assert type(pool) is asyncpg.Pool
    instrument(pool, name="theirs")
    assert find_instrumented(instrument(pool)) is find_instrumented(pool)
    uninstrument(pool)
    assert type(pool) is asyncpg.Pool


@pytest.mark.parametrize("target", [object(), "publisher", print])
def test_what_is_neither_a_publisher_nor_a_pool_is_refused(target: Any) -> None:
    with pytest.raises(UsageError, match="has no `async publish"):
        instrument(target)


def test_what_has_slots_is_refused_with_a_reason() -> None:
    class Slotted:
        __slots__ = ()

        async def publish(self, event: object) -> None: ...

    with pytest.raises(UsageError, match="has slots"):
        instrument(Slotted())


def test_the_application_s_own_providers_are_told_even_when_they_come_later() -> None:
    program = """
import asyncio
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sidecar.wiring.instrument import instrument
class Publisher:
    async def publish(self, event): ...
publisher = instrument(Publisher())
spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(tracers)
metrics.set_meter_provider(MeterProvider([reader]))
asyncio.run(publisher.publish(object()))
print([span.name for span in spans.get_finished_spans()])
data = reader.get_metrics_data()
print({m.name for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics})
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=30, capture_output=True, text=True
    )
    assert "['publish object']" in ran.stdout
    assert "sidecar.publish.duration" in ran.stdout
    assert "sidecar.events.published" in ran.stdout


def test_secrets_of_the_environment_stay_out_of_the_application_s_own_spans() -> None:
    program = """
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from sidecar.wiring.instrument import instrument
tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(tracers)
class Publisher:
    async def publish(self, event):
        raise ValueError("refused: canary7canary7")
try:
    asyncio.run(instrument(Publisher()).publish(object()))
except ValueError:
    print("raised as before")
"""
    environ = {"PATH": os.environ["PATH"], "TILL_TOKEN": "canary7canary7"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    assert "raised as before" in done.stdout
    assert "refused: ***" in done.stdout
    assert "canary7" not in done.stdout + done.stderr
