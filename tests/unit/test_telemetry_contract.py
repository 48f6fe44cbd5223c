"""The constants in code and `otel/contract.yaml` say the same, in both directions."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.telemetry.contract import INSTRUMENTS, SCHEMA_URL, SPANS, Instrument, SpanShape

CONTRACT = Path(__file__).parents[2] / "otel" / "contract.yaml"


@pytest.fixture(scope="module")
def registry() -> Any:
    return yaml.safe_load(CONTRACT.read_text(encoding="utf-8"))


def find_groups(registry: Any, kind: str) -> list[Any]:
    return [group for group in registry["groups"] if group["type"] == kind]


def attributes_of(group: Any) -> set[str]:
    return {entry.get("ref") or entry["id"] for entry in group.get("attributes", ())}


def test_the_registry_and_the_code_have_the_same_metrics(registry: Any) -> None:
    declared = {group["metric_name"] for group in find_groups(registry, "metric")}
    assert declared == {instrument.name for instrument in INSTRUMENTS}


def test_the_registry_and_the_code_pin_the_same_conventions(registry: Any) -> None:
    assert registry["schema_url"] == SCHEMA_URL


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda instrument: instrument.name)
def test_a_metric_is_the_same_in_both(registry: Any, instrument: Instrument) -> None:
    groups = find_groups(registry, "metric")
    (group,) = (group for group in groups if group["metric_name"] == instrument.name)
    assert group["instrument"] == instrument.kind.value
    assert group["unit"] == instrument.unit
    assert attributes_of(group) == set(instrument.attributes)
    assert group["annotations"]["prometheus"] == instrument.prometheus_name


@pytest.mark.parametrize("span", SPANS, ids=lambda span: span.operation)
def test_a_span_is_the_same_in_both(registry: Any, span: SpanShape) -> None:
    groups = find_groups(registry, "span")
    assert len(groups) == len(SPANS)
    (group,) = (group for group in groups if group["id"] == f"span.sidecar.{span.operation}")
    assert group["span_kind"] == span.kind
    assert attributes_of(group) == set(span.attributes)
    assert group["annotations"]["name"].startswith(f"{span.operation} ")
