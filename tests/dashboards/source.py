"""The files under test, read into values."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DASHBOARDS = ROOT / "dashboards"
RULES = DASHBOARDS / "prometheus" / "rules.yaml"
RULES_TEST = DASHBOARDS / "prometheus" / "rules_test.yaml"
ALERTMANAGER = DASHBOARDS / "alertmanager" / "alertmanager.yaml"
RUNBOOKS = DASHBOARDS / "runbooks"
CONTRACT = ROOT / "otel" / "contract.yaml"

# The rules are long, and read at each collection; in Python that takes ten times as long.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the contract.

    Attributes:
        labels: Prometheus label to its closed set of values; `None` where any value may come.
    """

    name: str
    instrument: str
    unit: str
    prometheus: str
    processes: tuple[str, ...]
    labels: dict[str, frozenset[str] | None]


@dataclass(frozen=True, slots=True)
class Case:
    """One expectation of rules_test.yaml; `fires` has the labels of each expected alert."""

    group: str
    alert: str
    minute: int
    fires: tuple[dict[str, str], ...]


@cache
def groups(kind: str) -> list[dict[str, Any]]:
    return [group for group in read(CONTRACT)["groups"] if group["type"] == kind]


@cache
def metrics() -> dict[str, Metric]:
    """Give the contract's metrics by every series name that they have in Prometheus."""
    found: dict[str, Metric] = {}
    for group in groups("metric"):
        metric = _metric(group)
        endings = ("_bucket", "_sum", "_count") if metric.instrument == "histogram" else ("",)
        found |= {metric.prometheus + ending: metric for ending in endings}
    return found


def label(attribute: str) -> str:
    return attribute.replace(".", "_")


def read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), _LOADER)


def rules() -> list[dict[str, Any]]:
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def cases() -> list[Case]:
    return [
        Case(
            group=group["name"],
            alert=test["alertname"],
            minute=int(test["eval_time"].removesuffix("m")),
            fires=tuple(alert["exp_labels"] for alert in test["exp_alerts"]),
        )
        for group in read(RULES_TEST)["tests"]
        for test in group["alert_rule_test"]
    ]


def boards() -> list[dict[str, Any]]:
    paths = sorted((DASHBOARDS / "grafana").glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def panels() -> list[dict[str, Any]]:
    found = [panel for board in boards() for panel in board["panels"]]
    return [panel for panel in found if panel["type"] != "row"]


def panel_expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def annotation_expressions() -> list[str]:
    (marks,) = {tuple(mark["expr"] for mark in board["annotations"]["list"]) for board in boards()}
    return list(marks)


def _metric(group: dict[str, Any]) -> Metric:
    notes = group["annotations"]
    return Metric(
        name=group["metric_name"],
        instrument=group["instrument"],
        unit=group["unit"],
        prometheus=notes["prometheus"],
        processes=tuple(notes["process"]),
        labels=dict(_labelled(attribute) for attribute in group.get("attributes", [])),
    )


def _labelled(attribute: dict[str, Any]) -> tuple[str, frozenset[str] | None]:
    if "ref" in attribute:
        attribute = shared_attributes()[attribute["ref"]]
    kind = attribute["type"]
    if isinstance(kind, str):
        return label(attribute["id"]), None
    return label(attribute["id"]), frozenset(member["value"] for member in kind["members"])


def shared_attributes() -> dict[str, dict[str, Any]]:
    """Give the attributes that others may refer to, by id."""
    listed = [one for group in groups("attribute_group") for one in group["attributes"]]
    return {attribute["id"]: attribute for attribute in listed if "id" in attribute}


def template_labels(text: str) -> set[str]:
    """Give the labels of the alert that a template reads."""
    return set(re.findall(r"\$labels\.(\w+)", text))
