"""The contract is complete in itself, and everything that asks for a metric keeps to it."""

import itertools
import re
from importlib.metadata import version
from typing import Any

import pytest
from opentelemetry.semconv.schemas import Schemas

from dashboards.contract import write_contract
from tests.dashboards import source
from tests.dashboards.expression import grouped_labels, matchers, metric_names

EXPRESSIONS = [
    *(rule["expr"] for rule in source.rules() if rule.get("alert") != "SidecarWatchdog"),
    *source.panel_expressions(),
    *source.annotation_expressions(),
]
# What Prometheus adds by itself, and the sidecar where it merges the numbers of all processes.
ADDED_LABELS = {
    *("cluster", "namespace", "service", "job", "instance", "process", "le"),
    *("alertname", "alertstate", "kind"),
}
OWN_OF_PROMETHEUS = {"up", "ALERTS", "scrape_duration_seconds", "scrape_samples_scraped"}


def everything() -> list[dict[str, Any]]:
    kinds = ("metric", "span", "event", "attribute_group")
    return [group for kind in kinds for group in source.groups(kind)]


def recorded() -> set[str]:
    return {rule["record"] for rule in source.rules() if "record" in rule}


def test_the_file_is_what_make_dashboards_writes() -> None:
    assert source.CONTRACT.read_text(encoding="utf-8") == write_contract()


def test_the_contract_pins_a_semantic_convention_that_the_installed_library_knows() -> None:
    contract = source.read(source.CONTRACT)
    schema = Schemas[f"V{contract['semconv_version'].replace('.', '_')}"]
    assert contract["schema_url"] == schema.value, version("opentelemetry-semantic-conventions")


def test_every_group_has_a_kind_that_the_registry_knows_and_an_id_of_its_own() -> None:
    ids = [group["id"] for group in source.read(source.CONTRACT)["groups"]]
    assert len(ids) == len(set(ids)) == len(everything())


@pytest.mark.parametrize("group", source.groups("metric"), ids=lambda group: group["id"])
def test_a_metric_says_all_that_the_contract_asks(group: dict[str, Any]) -> None:
    assert group["id"] == f"metric.{group['metric_name']}"
    assert group["instrument"] in {"counter", "gauge", "histogram", "updowncounter"}
    assert group["unit"] == "s" or re.fullmatch(r"\{[a-z_]+\}", group["unit"])
    assert group["brief"].endswith(".")
    assert group["stability"] in {"development", "stable"}
    assert set(group["annotations"]) == {"prometheus", "process", "bound"}
    assert set(group["annotations"]["process"]) <= {"probe", "worker", "app"}


@pytest.mark.parametrize("group", source.groups("metric"), ids=lambda group: group["id"])
def test_the_prometheus_name_follows_from_name_unit_and_instrument(group: dict[str, Any]) -> None:
    unit = "_seconds" if group["unit"] == "s" else ""
    total = "_total" if group["instrument"] == "counter" else ""
    expected = group["metric_name"].replace(".", "_") + unit + total
    assert group["annotations"]["prometheus"] == expected


@pytest.mark.parametrize("group", source.groups("span"), ids=lambda group: group["id"])
def test_a_span_says_all_that_the_contract_asks(group: dict[str, Any]) -> None:
    assert group["span_kind"] in {"internal", "producer", "consumer", "client", "server"}
    assert group["brief"].endswith(".")
    assert set(group["annotations"]) == {"name", "process"}


@pytest.mark.parametrize("group", source.groups("event"), ids=lambda group: group["id"])
def test_a_log_event_says_all_that_the_contract_asks(group: dict[str, Any]) -> None:
    assert group["id"] == f"event.{group['name']}"
    assert group["brief"].endswith(".")
    assert set(group["annotations"]) == {"level", "attributes"}
    assert set(group["annotations"]["level"]) <= {"debug", "info", "warning", "error", "critical"}


@pytest.mark.parametrize("group", everything(), ids=lambda group: group["id"])
def test_every_attribute_is_defined_here_or_refers_to_one_that_is(group: dict[str, Any]) -> None:
    for attribute in group.get("attributes", []):
        if "ref" in attribute:
            assert attribute["ref"] in source.shared_attributes()
        else:
            assert attribute["brief"]
            assert attribute["stability"]
            kind = attribute["type"]
            assert kind in ("string", "int") or kind["members"]


def test_no_series_name_belongs_to_two_metrics() -> None:
    names = [group["annotations"]["prometheus"] for group in source.groups("metric")]
    assert len(names) == len(set(names))


def test_no_metric_has_an_attribute_without_bound() -> None:
    unbounded = re.compile(r"stream|event_id|position|sql|query|message$")
    labels = itertools.chain.from_iterable(one.labels for one in source.metrics().values())
    assert not [label for label in labels if unbounded.search(label)]


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_an_expression_asks_only_for_metrics_of_the_contract(expr: str) -> None:
    assert metric_names(expr)
    assert metric_names(expr) <= source.metrics().keys() | recorded() | OWN_OF_PROMETHEUS


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_an_expression_matches_only_labels_and_values_that_the_metric_has(expr: str) -> None:
    for matcher in matchers(expr):
        if matcher.label in ADDED_LABELS or matcher.metric in recorded():
            continue
        labels = source.metrics()[matcher.metric].labels
        assert matcher.label in labels
        allowed = labels[matcher.label]
        if allowed is not None and not matcher.value.startswith("$"):
            assert set(matcher.value.split("|")) <= allowed


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_an_expression_groups_only_by_labels_that_exist(expr: str) -> None:
    known = {label for metric in source.metrics().values() for label in metric.labels}
    assert grouped_labels(expr) <= known | ADDED_LABELS
