"""`publish-*`: what telling subscribers costs, with telemetry, without it, and done naively."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry.metrics import Histogram
from opentelemetry.sdk.trace import SpanProcessor

import sidecar
from sidecar.events.publisher import EventPublisher
from sidecar.telemetry import attribute, metric
from sidecar.telemetry.publisher_metrics import observe_publisher
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.span import PUBLISH_SPAN
from tests.benchmarks.measure import (
    Limit,
    Measure,
    Result,
    alternate,
    excess_at_most,
    ratio_at_most,
)
from tests.benchmarks.place import Place
from tests.benchmarks.shop import OrderPlaced, make_order, types

PROJECTIONS: Final = 3
EVENTS: Final = 5000
ROUNDS: Final = 9
TIMES_CHEAPER: Final = 3
ATTRIBUTES: Final[dict[str, str]] = {
    attribute.MESSAGING_SYSTEM: attribute.SYSTEM,
    attribute.OPERATION_NAME: PUBLISH_SPAN.operation,
    attribute.EVENT_TYPE: "OrderPlaced",
}

Tell = Callable[[object], Awaitable[object]]
"""Tells three subscribers of one event."""


class Orders:
    """A subscriber that does next to nothing."""

    handles = (OrderPlaced,)

    def __init__(self, number: int) -> None:
        self.name: Final = f"orders-{number}"
        self.count = 0

    async def handle(self, event: object) -> None:
        self.count += 1


async def run(_place: Place) -> list[Result]:
    """Measure without any database."""
    rows = [await _compare_off()]
    with _telemetry(SpanProcessor()) as sampled:
        rows.append(await _compare("publish-sampled", sampled, _bare(sampled), "1 bare span"))
        limit = ratio_at_most(1 / TIMES_CHEAPER, f" ({TIMES_CHEAPER}x cheaper)")
        naive = _naive(sampled)
        rows.append(
            await _compare("publish-naive", sampled, naive, "span + add + record each", limit)
        )
    with _telemetry() as unsampled:
        rows.append(await _compare("publish-unsampled", unsampled, _bare(unsampled), "1 bare span"))
    return rows


async def _compare_off() -> Result:
    subscribers = _subscribers()

    async def loop(event: object) -> None:
        for subscriber in subscribers:
            await subscriber.handle(event)

    publisher = three_subscribers()
    pair = await alternate(measure_cost(publisher.publish), measure_cost(loop), rounds=ROUNDS)
    return Result("publish-off", "µs", pair, excess_at_most(3, "µs"), "plain loop")


async def _compare(
    name: str, telemetry: Telemetry, peer: Tell, peer_name: str, limit: Limit | None = None
) -> Result:
    publisher = three_subscribers()
    stop = observe_publisher(telemetry, publisher)
    pair = await alternate(measure_cost(publisher.publish), measure_cost(peer), rounds=ROUNDS)
    stop()
    return Result(name, "µs", pair, limit or ratio_at_most(1.25), peer_name)


def _bare(telemetry: Telemetry) -> Tell:
    """Return what observing one publish takes at the least: a span and a duration."""
    start, histogram = telemetry.tracer.start_as_current_span, _histogram(telemetry, "bare")

    async def tell(_event: object) -> None:
        began = time.perf_counter()
        with start("publish OrderPlaced", attributes=ATTRIBUTES):
            pass
        histogram.record(time.perf_counter() - began)

    return tell


def _naive(telemetry: Telemetry) -> Tell:
    """Return a loop that spends a span, a counter and a histogram on each subscriber."""
    subscribers = _subscribers()
    start, histogram = telemetry.tracer.start_as_current_span, _histogram(telemetry, "naive")
    counter = telemetry.meter.create_counter("naive.events")

    async def tell(event: object) -> None:
        for subscriber in subscribers:
            own: dict[str, str] = {attribute.PROJECTION: subscriber.name}
            began = time.perf_counter()
            with start(f"handle {subscriber.name}", attributes=own):
                await subscriber.handle(event)
            counter.add(1, own)
            histogram.record(time.perf_counter() - began, own)

    return tell


def measure_cost(tell: Tell) -> Measure:
    """Return what measures the microseconds that telling of one event takes."""
    event = make_order(1)

    async def measure() -> float:
        began = time.perf_counter()
        for _ in range(EVENTS):
            await tell(event)
        return 1e6 * (time.perf_counter() - began) / EVENTS

    return measure


def _subscribers() -> list[Orders]:
    return [Orders(number) for number in range(PROJECTIONS)]


def three_subscribers() -> EventPublisher:
    """Return a publisher whose subscribers do next to nothing."""
    publisher = EventPublisher(types)
    for subscriber in _subscribers():
        publisher.add_projection(subscriber)
    return publisher


def _histogram(telemetry: Telemetry, name: str) -> Histogram:
    return telemetry.meter.create_histogram(
        f"{name}.duration",
        unit="s",
        explicit_bucket_boundaries_advisory=metric.DURATION_BOUNDS_SECONDS,
    )


@contextmanager
def _telemetry(*processors: SpanProcessor) -> Iterator[Telemetry]:
    """Start a process's telemetry; without processors nobody looks at spans, and none is made."""
    telemetry = Telemetry.start(
        "benchmark", "app", version=sidecar.__version__, environ={}, span_processors=processors
    )
    try:
        yield telemetry
    finally:
        telemetry.close()
