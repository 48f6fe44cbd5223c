"""Set-up honours `OTEL_*`; the end comes in time whatever the receiver does."""

import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.trace import get_tracer_provider

from sidecar.telemetry.exposition import render_registry
from sidecar.telemetry.otlp import Protocol, Route, Signal, find_route
from sidecar.telemetry.provider import Identity
from sidecar.telemetry.setup import Telemetry


@contextmanager
def black_hole() -> Iterator[str]:
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class Collector(http.server.BaseHTTPRequestHandler):
    paths: list[str]
    status: int

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.paths.append(self.path)
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


@contextmanager
def collector(status: int) -> Iterator[tuple[str, list[str]]]:
    paths: list[str] = []
    handler = type("Handler", (Collector,), {"paths": paths, "status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()
        thread.join()


def start(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> Telemetry:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return Telemetry.start("shop", "app", version="1.2.3", environ=environ)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, Route(Protocol.HTTP, 2.0)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, Route(Protocol.HTTP, 2.0)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, Route(Protocol.HTTP, 2.0)),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, None),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            Route(Protocol.GRPC, 2.0),
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TIMEOUT": "7"},
            Route(Protocol.HTTP, None),
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            Route(Protocol.HTTP, 2.0, unknown_protocol="http/json"),
        ),
    ],
)
def test_the_environment_decides_where_traces_go(
    environ: dict[str, str], expected: Route | None
) -> None:
    assert find_route(environ, Signal.TRACES) == expected


def test_traces_and_metrics_reach_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector(200) as (endpoint, paths):
        telemetry = start(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        telemetry.tracer.start_span("publish").end()
        assert telemetry.close()
    assert set(paths) == {"/v1/traces", "/v1/metrics"}


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_receiver_that_never_answers_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, protocol: Protocol
) -> None:
    with black_hole() as endpoint:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol.value,
        }
        telemetry = start(monkeypatch, environ)
        for _ in range(1500):
            telemetry.tracer.start_span("publish").end()
        began_mono = time.monotonic()
        telemetry.close(timeout_seconds=1.0)
        assert time.monotonic() - began_mono < 3.0


def test_a_process_with_a_silent_receiver_exits_within_five_seconds() -> None:
    program = """
import os, time
from sidecar.telemetry.setup import Telemetry
telemetry = Telemetry.start("shop", "app", version="1", environ=os.environ)
for _ in range(1500):
    telemetry.tracer.start_span("publish").end()
began_mono = time.monotonic()
telemetry.close()
print(time.monotonic() - began_mono)
"""
    with black_hole() as endpoint:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        began_mono = time.monotonic()
        ran = subprocess.run(
            [sys.executable, "-c", program],
            env=environ,
            check=True,
            timeout=30,
            capture_output=True,
            text=True,
        )
        assert float(ran.stdout) < 5.5
        assert time.monotonic() - began_mono < 5.5 + 3.0  # and the start of an interpreter


def test_spans_that_a_receiver_refuses_are_counted_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collector(400) as (endpoint, _):
        environ = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint,
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2",
            "OTEL_BSP_SCHEDULE_DELAY": "10",
        }
        telemetry = start(monkeypatch, environ)
        for _ in range(10):
            telemetry.tracer.start_span("publish").end()
        dropped = 'sidecar_telemetry_dropped_total{signal="traces"}'
        deadline_mono = time.monotonic() + 10
        while f"{dropped} 10.0" not in render_registry(telemetry.registry):
            assert time.monotonic() < deadline_mono
        telemetry.close()
    told = [record for record in caplog.records if "Dropping traces" in record.message]
    assert len(told) == 1


def test_a_full_queue_refuses_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with black_hole() as endpoint:
        environ = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint,
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        }
        telemetry = start(monkeypatch, environ)
        for _ in range(20_000):
            telemetry.tracer.start_span("publish").end()
        text = render_registry(telemetry.registry)
        telemetry.close(timeout_seconds=0.1)
    (line,) = (line for line in text.splitlines() if 'signal="traces"' in line)
    assert float(line.rsplit(" ", 1)[1]) > 1000


def test_disabled_means_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = start(monkeypatch, {"OTEL_SDK_DISABLED": "true"})
    span = telemetry.tracer.start_span("publish")
    assert not span.get_span_context().is_valid
    assert render_registry(telemetry.registry).strip() == ""
    assert telemetry.close()


def test_without_a_receiver_spans_have_ids_and_no_content() -> None:
    telemetry = Telemetry.start("shop", "app", version="1.2.3", environ={})
    span = telemetry.tracer.start_span("publish")
    assert span.get_span_context().is_valid
    assert not span.is_recording()
    assert telemetry.close()


def test_an_application_keeps_its_global_provider() -> None:
    before = get_tracer_provider()
    telemetry = Telemetry.start("shop", "app", version="1.2.3", environ={})
    assert get_tracer_provider() is before
    assert telemetry.close()


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import sidecar.telemetry.logs", "opentelemetry.exporter"),
        ("import sidecar.telemetry.setup", "opentelemetry.exporter.otlp"),
        ("import sidecar.telemetry.setup", "grpc"),
    ],
)
def test_an_import_loads_no_exporter_before_it_is_asked_for(statement: str, unwanted: str) -> None:
    program = f"{statement}\nimport sys\nsys.exit({unwanted!r} in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        ("", "ours"),
        (
            "from opentelemetry.sdk.trace import TracerProvider as P; set_tracer_provider(P())",
            "theirs",
        ),
    ],
)
def test_a_process_of_our_own_shares_its_provider_unless_there_is_one(
    prepare: str, expected: str
) -> None:
    program = f"""
from opentelemetry.trace import get_tracer_provider, set_tracer_provider
from sidecar.telemetry.setup import Telemetry
{prepare}
before = get_tracer_provider()
telemetry = Telemetry.start("shop", "worker-1", version="1", environ={{}}, own_process=True)
print("theirs" if get_tracer_provider() is before else "ours")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=30, capture_output=True, text=True
    )
    assert ran.stdout.strip() == expected


def test_settings_that_the_exporter_refuses_are_told_and_stop_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_SCHEDULE_DELAY": "-1"}
    telemetry = start(monkeypatch, environ)
    assert "No traces are sent" in caplog.text
    assert telemetry.close()


def test_an_unknown_protocol_is_told_and_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collector(200) as (endpoint, paths):
        environ = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon",
        }
        telemetry = start(monkeypatch, environ)
        telemetry.tracer.start_span("publish").end()
        assert telemetry.close()
    assert "carrier-pigeon is not offered" in caplog.text
    assert paths == ["/"]


def test_the_application_s_own_provider_gets_our_spans() -> None:
    program = """
import os
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_tracer_provider
from sidecar.telemetry.setup import Telemetry
spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
set_tracer_provider(provider)
environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9"}
telemetry = Telemetry.start("shop", "app", version="1", environ=environ)
telemetry.tracer.start_span("publish").end()
assert telemetry.close()
telemetry.tracer.start_span("after").end()
print([span.name for span in spans.get_finished_spans()])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=30, capture_output=True, text=True
    )
    assert ran.stdout.strip() == "['publish', 'after']"


def test_the_environment_names_the_service_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named-by-operations")
    resource = Identity("shop", "app", "1").resource()
    assert resource.attributes["service.name"] == "named-by-operations"
    assert resource.attributes["sidecar.process"] == "app"


def test_a_forked_child_starts_with_an_empty_queue() -> None:
    program = """
import os, sys
from opentelemetry.sdk.trace import TracerProvider
from sidecar.telemetry.loss import BoundedSpanProcessor, Losses
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
losses, spans = Losses(), InMemorySpanExporter()
environ = {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10"}
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(BoundedSpanProcessor(spans, losses, environ))
tracer = provider.get_tracer("x")
for _ in range(9):
    tracer.start_span("parent").end()
child = os.fork()
if child == 0:
    for _ in range(9):
        tracer.start_span("child").end()
    provider.shutdown()
    names = {span.name for span in spans.get_finished_spans()}
    count = len(spans.get_finished_spans())
    os._exit(0 if (names, count) == ({"child"}, 9) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=30)
