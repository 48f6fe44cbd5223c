"""Many processes in one text: labels, conflicts, bounds, and garbage that harms nobody."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from sidecar.telemetry.exposition import render_registry, wants_openmetrics
from sidecar.telemetry.merge import Exposition

parse_openmetrics: Callable[[str], Iterable[Metric]] = text_string_to_metric_families

WORKER = """\
# HELP orders_total Orders \\\\ so far.
# TYPE orders_total counter
orders_total{shop="a \\"b\\" \\\\ {c}, d=\\"1\\""} 3.0
# HELP wait_seconds Waiting.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.5"} 1.0
wait_seconds_bucket{le="+Inf"} 2.0
wait_seconds_count 2.0
wait_seconds_sum 1e+09
"""


def test_every_series_gets_its_process_and_keeps_the_rest() -> None:
    exposition = Exposition("probe")
    exposition.accept("worker-1", WORKER)
    exposition.accept("worker-2", WORKER)
    body, content_type = exposition.render()
    assert content_type.startswith("text/plain")
    families = {family.name: family for family in parse_plain(body.decode())}
    orders, wait = families["orders"], families["wait_seconds"]
    assert (orders.type, orders.documentation) == ("counter", "Orders \\ so far.")
    assert [sample.labels for sample in orders.samples] == [
        {"shop": 'a "b" \\ {c}, d="1"', "process": "worker-1"},
        {"shop": 'a "b" \\ {c}, d="1"', "process": "worker-2"},
    ]
    assert wait.type == "histogram"
    assert len(wait.samples) == 8
    assert body.decode().count("# TYPE wait_seconds ") == 1


def test_own_numbers_are_those_of_the_probe() -> None:
    registry = CollectorRegistry()
    Gauge("ready", "Ready.", registry=registry).set(1)
    body, _ = Exposition("probe", registry).render()
    assert b'ready{process="probe"} 1.0\n' in body
    assert "ready 1.0" in render_registry(registry)


def test_a_process_label_of_its_own_is_renamed() -> None:
    exposition = Exposition("probe")
    exposition.accept("app", 'up{a=",process=\\"1\\"",process="x"} 1\n')
    body, _ = exposition.render()
    assert b'up{a=",process=\\"1\\"",exported_process="x",process="app"} 1\n' in body


@pytest.mark.parametrize("accept", [None, "application/openmetrics-text; version=1.0.0"])
def test_every_series_of_every_process_carries_the_service(accept: str | None) -> None:
    registry = CollectorRegistry()
    Gauge("ready", "Ready.", registry=registry).set(1)
    exposition = Exposition("probe", registry, service='the "shop"')
    exposition.accept("worker-1", WORKER)
    body, _ = exposition.render(accept)
    read = parse_plain if accept is None else parse_openmetrics
    samples = [sample for family in read(body.decode()) for sample in family.samples]
    assert {sample.labels["service"] for sample in samples} == {'the "shop"'}
    assert {sample.labels["process"] for sample in samples} == {"probe", "worker-1"}


def test_an_application_cannot_pass_for_another_service() -> None:
    exposition = Exposition("probe", service="shop")
    exposition.accept("app", 'x{service="billing",b="service=\\"y\\""} 1\ny{my_service="z"} 1\n')
    body = exposition.render()[0].decode()
    assert (
        'x{exported_service="billing",b="service=\\"y\\"",service="shop",process="app"} 1' in body
    )
    assert 'y{my_service="z",service="shop",process="app"} 1' in body


def test_openmetrics_is_given_to_whoever_prefers_it() -> None:
    exposition = Exposition("probe")
    exposition.accept("app", WORKER + "strange 1\n")
    body, content_type = exposition.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family.type for family in parse_openmetrics(body.decode())}
    assert families == {"orders": "counter", "strange": "unknown", "wait_seconds": "histogram"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5", True),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
    ],
)
def test_the_accept_header_decides(accept: str | None, *, expected: bool) -> None:
    assert wants_openmetrics(accept) is expected


def test_a_family_of_another_type_is_left_out_and_counted_once_a_text() -> None:
    exposition = Exposition("probe")
    exposition.accept("worker-1", "# TYPE x gauge\nx 1\n")
    exposition.accept("worker-2", "# TYPE x counter\nx 2\n# TYPE y gauge\ny 3\n")
    exposition.render()
    body, _ = exposition.render()
    assert b"x{" in body
    assert b'y{process="worker-2"} 3' in body
    assert b'x{process="worker-2"}' not in body
    assert exposition.failures == {"worker-2": 1}


@pytest.mark.parametrize(
    "garbage",
    [
        "<html>no numbers here</html>",
        "x 1\ny one\n",
        "x{a=b} 1\n",
        'x{a="b} 1\n',
        "x 1 2 3\n",
        "# TYPE x sum\nx 1\n",
        "x 1\n# TYPE x gauge\n",
        "# TYPE x histogram\nx 1\n",
        'x{a="\ud800"} 1\n',
        "x 1\x00\n",
    ],
)
def test_garbage_is_left_out_as_a_whole_and_counted(garbage: str) -> None:
    exposition = Exposition("probe")
    exposition.accept("worker-1", "good 1\n")
    exposition.accept("worker-2", garbage)
    body, _ = exposition.render()
    assert b"worker-2" not in body
    assert b'good{process="worker-1"} 1' in body
    assert exposition.failures == {"worker-2": 1}


def test_texts_series_and_processes_are_bounded() -> None:
    exposition = Exposition("probe", max_characters=100, max_series=2, max_processes=2)
    exposition.accept("long", "#" * 101)
    exposition.accept("many", "x 1\ny 1\nz 1\n")
    exposition.accept("fits", "x 1\ny 1\n")
    exposition.accept("late", "x 1\n")
    body, _ = exposition.render()
    assert exposition.failures == {"long": 1, "late": 1, "many": 1}
    assert b"fits" in body
    assert b"many" not in body


def test_a_forgotten_process_leaves_no_numbers_behind() -> None:
    exposition = Exposition("probe")
    exposition.accept("worker-1", "x 1\n")
    exposition.update({"worker-1": None})
    assert exposition.render()[0].strip() == b""


@given(
    st.text()
    | st.from_regex(r"\A(# (TYPE|HELP) )?[a-z_]+(\{[a-z]+=\"[^\"]*\"\})? ?[0-9.+eInfNa]*\n")
)
def test_no_text_makes_the_rendering_fail(text: str) -> None:
    exposition = Exposition("probe")
    exposition.accept("app", text)
    body, _ = exposition.render()
    list(parse_plain(body.decode()))
    assert sum(exposition.failures.values()) <= 1


@given(st.dictionaries(st.from_regex(r"\A[a-z]{1,5}\Z"), st.text(), max_size=3))
def test_any_label_value_survives_agent_and_merge(labels: dict[str, str]) -> None:
    registry = CollectorRegistry()
    values = {
        f"l_{name}": value.encode(errors="replace").decode() for name, value in labels.items()
    }
    gauge = Gauge("x", "X.", list(values), registry=registry)
    (gauge.labels(**values) if values else gauge).set(1)
    exposition = Exposition("probe")
    exposition.accept("app", render_registry(registry))
    (family,) = parse_plain(exposition.render()[0].decode())
    assert family.samples[0].labels == {**values, "process": "app"}
