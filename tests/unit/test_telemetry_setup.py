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

from sidecar.lint.rules.telemetry import EXPORTERS, PROTOCOLS, SAMPLERS
from sidecar.telemetry import metric
from sidecar.telemetry.exposition import render_registry
from sidecar.telemetry.identity import Identity
from sidecar.telemetry.otel_variable import find_secrets, read_seconds
from sidecar.telemetry.otlp_route import Protocol, Route, Signal, find_route
from sidecar.telemetry.outside import recorder
from sidecar.telemetry.redaction import Redactor
from sidecar.telemetry.sampler import choose_sampler
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


def start(environ: dict[str, str]) -> Telemetry:
    """Start with a snapshot only: what `.env` holds is in no process's environment."""
    return Telemetry.start("shop", "app", version="1.2.3", environ=environ)


pytestmark = pytest.mark.usefixtures("no_thread_left")

COMMON = "OTEL_EXPORTER_OTLP"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        (
            {f"{COMMON}_ENDPOINT": "http://c:4318/"},
            Route(Protocol.HTTP, "http://c:4318/v1/traces"),
        ),
        ({f"{COMMON}_TRACES_ENDPOINT": "http://c/in"}, Route(Protocol.HTTP, "http://c/in")),
        ({f"{COMMON}_METRICS_ENDPOINT": "http://c"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, Route(Protocol.HTTP, "http://localhost:4318/v1/traces")),
        ({"OTEL_TRACES_EXPORTER": "none", f"{COMMON}_ENDPOINT": "http://c"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, None),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", f"{COMMON}_PROTOCOL": "grpc"},
            Route(Protocol.GRPC, "http://localhost:4317"),
        ),
        (
            {f"{COMMON}_ENDPOINT": "c:4317", f"{COMMON}_PROTOCOL": "grpc"},
            Route(Protocol.GRPC, "c:4317", is_insecure=False),
        ),
        (
            {
                f"{COMMON}_ENDPOINT": "c:4317",
                f"{COMMON}_PROTOCOL": "grpc",
                f"{COMMON}_INSECURE": "true",
            },
            Route(Protocol.GRPC, "c:4317"),
        ),
        (
            {
                f"{COMMON}_ENDPOINT": "https://c",
                f"{COMMON}_TIMEOUT": "7000",
                f"{COMMON}_HEADERS": "Authorization=Bearer%20key, tenant=a",
                f"{COMMON}_TRACES_COMPRESSION": "gzip",
                f"{COMMON}_CERTIFICATE": "ca.pem",
                f"{COMMON}_CLIENT_KEY": "key.pem",
                f"{COMMON}_CLIENT_CERTIFICATE": "client.pem",
            },
            Route(
                Protocol.HTTP,
                "https://c/v1/traces",
                7.0,
                {"authorization": "Bearer key", "tenant": "a"},
                "gzip",
                "ca.pem",
                "key.pem",
                "client.pem",
                is_insecure=False,
            ),
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", f"{COMMON}_PROTOCOL": "http/json"},
            Route(
                Protocol.HTTP,
                "http://localhost:4318/v1/traces",
                unknown_protocol="http/json",
            ),
        ),
    ],
)
def test_the_environment_decides_where_traces_go(
    environ: dict[str, str], expected: Route | None
) -> None:
    assert find_route(environ, Signal.TRACES) == expected


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10), ("1500", 1.5), ("", 2), ("-1", 2), ("soon", 2), ("inf", 2)]
)
def test_a_timeout_is_read_in_the_unit_that_was_meant(text: str, seconds: float) -> None:
    assert read_seconds(text, 2) == seconds


def test_what_opens_a_receiver_is_a_secret() -> None:
    environ = {
        f"{COMMON}_HEADERS": "authorization=Bearer%20aaaaaaaa,x-key=bbbbbbbb",
        f"{COMMON}_METRICS_HEADERS": "x-key=cccccccc",
        f"{COMMON}_ENDPOINT": "https://user:dddddddd@collector",
        "OTEL_SERVICE_NAME": "shop",
    }
    redact = Redactor(find_secrets(environ))
    assert redact("aaaaaaaa bbbbbbbb cccccccc dddddddd shop") == "*** *** *** *** shop"
    assert "aaaaaaaa" not in repr(find_route(environ, Signal.TRACES))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "ParentBased{root:AlwaysOnSampler"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "AlwaysOffSampler"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"},
            "TraceIdRatioBased{0.25}",
        ),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}, "root:TraceIdRatioBased{1.0}"),
    ],
)
def test_the_environment_decides_which_traces_are_kept(
    environ: dict[str, str], expected: str
) -> None:
    assert expected in choose_sampler(environ).get_description()


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_SAMPLER": "coin"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "two"},
    ],
)
def test_a_sampler_that_is_not_offered_is_told_and_keeps_all(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert choose_sampler(environ).get_description()
    assert "is not offered; all traces are kept" in caplog.text


def test_traces_and_metrics_reach_a_collector() -> None:
    with collector(200) as (endpoint, paths):
        telemetry = start({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        telemetry.tracer.start_span("publish").end()
        assert telemetry.close()
    assert set(paths) == {"/v1/traces", "/v1/metrics"}


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_receiver_that_never_answers_does_not_hold_up_the_end(protocol: Protocol) -> None:
    with black_hole() as endpoint:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol.value,
        }
        telemetry = start(environ)
        for _ in range(1500):
            telemetry.tracer.start_span("publish").end()
        began_mono = time.monotonic()
        telemetry.close(timeout_seconds=1.0)
        assert time.monotonic() - began_mono < 3.0


def test_a_process_with_a_silent_receiver_exits_within_five_seconds() -> None:
    program = """
import os, time
from sidecar.telemetry.setup import Telemetry
telemetry = Telemetry.start("shop", "app", version="1", environ=dict(os.environ))
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
    caplog: pytest.LogCaptureFixture,
) -> None:
    with collector(400) as (endpoint, _):
        environ = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint,
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2",
            "OTEL_BSP_SCHEDULE_DELAY": "10",
        }
        telemetry = start(environ)
        for _ in range(10):
            telemetry.tracer.start_span("publish").end()
        dropped = 'sidecar_telemetry_dropped_total{signal="traces"}'
        deadline_mono = time.monotonic() + 10
        while f"{dropped} 10.0" not in render_registry(telemetry.registry):
            assert time.monotonic() < deadline_mono
        telemetry.close()
    told = [record for record in caplog.records if "Dropping traces" in record.message]
    assert len(told) == 1


def test_a_full_queue_refuses_and_counts() -> None:
    with black_hole() as endpoint:
        environ = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint,
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        }
        telemetry = start(environ)
        for _ in range(20_000):
            telemetry.tracer.start_span("publish").end()
        text = render_registry(telemetry.registry)
        telemetry.close(timeout_seconds=0.1)
    (line,) = (line for line in text.splitlines() if 'signal="traces"' in line)
    assert float(line.rsplit(" ", 1)[1]) > 1000


def test_a_disabled_sdk_makes_no_spans_and_leaves_the_numbers_of_health_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The SDK looks at the process's own environment.
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    environ = {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    telemetry = Telemetry.start("shop", "app", version="1", environ=environ)
    span = telemetry.tracer.start_span("publish")
    assert not span.get_span_context().is_valid
    telemetry.observe({metric.READY: lambda: [(1.0, {})]})
    recorder(telemetry.histograms(metric.PUBLISH_DURATION))(0.1, None)
    text = render_registry(telemetry.registry)
    assert "sidecar_ready 1.0" in text
    assert "sidecar_publish_duration_seconds_count 1.0" in text
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
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_COMPRESSION": "squash"}
    telemetry = start(environ)
    assert "No traces are sent" in caplog.text
    assert telemetry.close()


def test_an_unknown_protocol_is_told_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with collector(200) as (endpoint, paths):
        environ = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon",
        }
        telemetry = start(environ)
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


def test_the_environment_names_the_service_last() -> None:
    environ = {
        "OTEL_SERVICE_NAME": "named-by-operations",
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,deployment.environment.name=test%20bed,junk",
    }
    attributes = Identity.find("shop", "app", "1", environ).resource(environ).attributes
    assert attributes["service.name"] == "named-by-operations"
    assert attributes["deployment.environment.name"] == "test bed"
    assert attributes["sidecar.process"] == "app"
    assert not {name for name in attributes if name.startswith("process.command")}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "shop"),
        ({"OTEL_SERVICE_NAME": " "}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=till%201,host.name=a"}, "till 1"),
        ({"OTEL_SERVICE_NAME": "till", "OTEL_RESOURCE_ATTRIBUTES": "service.name=x"}, "till"),
    ],
)
def test_metrics_carry_the_service_name_that_is_sent(environ: dict[str, str], named: str) -> None:
    telemetry = Telemetry.start("shop", "probe", version="1", environ=environ)
    assert telemetry.identity.service_name == named
    assert telemetry.identity.resource(environ).attributes["service.name"] == named
    assert telemetry.close()


def test_a_forked_child_starts_with_an_empty_queue() -> None:
    program = """
import os, sys
from opentelemetry.sdk.trace import TracerProvider
from sidecar.telemetry.bounded_export import BoundedSpanProcessor, Losses
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


def test_the_rule_about_otel_variables_offers_what_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert set(Protocol) == PROTOCOLS
    for name in SAMPLERS:
        choose_sampler({"OTEL_TRACES_SAMPLER": name})
    assert not caplog.records
    for signal in Signal:
        assert "otlp" in EXPORTERS[f"OTEL_{signal.upper()}_EXPORTER"]
