"""Whatever the receiver does, the work goes on, the end comes in time, and losses are told."""

import logging
import time
from collections import Counter

import pytest

from sidecar.events.publisher import EventPublisher
from sidecar.telemetry.exposition import render_registry
from sidecar.telemetry.metric import TELEMETRY_DROPPED
from sidecar.telemetry.otlp_route import Protocol
from sidecar.telemetry.publisher_metrics import observe_publisher
from sidecar.telemetry.setup import Telemetry
from tests.benchmarks.receiver import FAULTS, Faulty, overloaded, refusing, silent, slow

pytestmark = pytest.mark.usefixtures("no_thread_left")

EVENTS = 200
END_SECONDS = 5.0
CASES = [
    *((fault, Protocol.HTTP) for fault in FAULTS),
    *((fault, Protocol.GRPC) for fault in (refusing, silent)),
]


def start(url: str, protocol: Protocol) -> Telemetry:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol.value,
        "OTEL_BSP_SCHEDULE_DELAY": "10",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50",
    }
    return Telemetry.start("shop", "app", version="1", environ=environ)


def of_sidecar(caplog: pytest.LogCaptureFixture) -> Counter[str]:
    records = [r for r in caplog.records if r.name.startswith("sidecar.")]
    return Counter(f"{vars(r)['event']} {vars(r).get('signal', '')}".strip() for r in records)


@pytest.mark.parametrize(("fault", "protocol"), CASES)
async def test_publishing_goes_on_and_the_end_comes_in_time(
    fault: Faulty, protocol: Protocol, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with fault() as url:
        telemetry = start(url, protocol)
        publisher = EventPublisher()
        stop = observe_publisher(telemetry, publisher)
        for _ in range(EVENTS):
            assert (await publisher.publish(object())).ok
        assert sum(publisher.tally.published.values()) == EVENTS
        stop()
        began_mono = time.monotonic()
        telemetry.close()
        assert time.monotonic() - began_mono < END_SECONDS
    told = of_sidecar(caplog)
    assert set(told.values()) <= {1}
    if fault is not slow:
        assert telemetry.losses.total() >= EVENTS
        assert told["sidecar.telemetry.dropped traces"] or told["sidecar.telemetry.close_timeout"]


def test_what_is_lost_at_the_end_is_counted_to_the_last_span(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with silent() as url:
        telemetry = start(url, Protocol.HTTP)
        for _ in range(EVENTS):
            telemetry.tracer.start_span("publish").end()
        assert not telemetry.close(timeout_seconds=0.1)
    (record,) = (r for r in caplog.records if vars(r).get("spans") is not None)
    assert vars(record)["spans"] == EVENTS
    assert f"{EVENTS} spans were not sent" in record.message


def test_an_exporter_says_each_thing_once_and_others_go_on_talking(
    caplog: pytest.LogCaptureFixture,
) -> None:
    library = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    with overloaded() as url:
        telemetry = start(url, Protocol.HTTP)
        for _ in range(EVENTS):
            telemetry.tracer.start_span("publish").end()
        deadline_mono = time.monotonic() + 20
        while telemetry.losses.total() < EVENTS:
            assert time.monotonic() < deadline_mono
        for _ in range(3):
            library.warning("an exporter of the application's own")
        telemetry.close(timeout_seconds=0.1)
    said = Counter(r.msg for r in caplog.records if r.name == library.name)
    assert said.pop("an exporter of the application's own") == 3
    assert said
    assert set(said.values()) == {1}


def test_losses_are_a_metric_from_the_start() -> None:
    telemetry = Telemetry.start("shop", "app", version="1", environ={})
    text = render_registry(telemetry.registry)
    for signal in ("metrics", "traces"):
        assert f'{TELEMETRY_DROPPED.prometheus_name}{{signal="{signal}"}} 0.0' in text
    assert telemetry.close()
