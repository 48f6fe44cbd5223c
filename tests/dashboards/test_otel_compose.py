"""Collector and compose hold together, as far as can be told without a container engine."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.telemetry.identity import Identity
from tests.dashboards import source
from tests.dashboards.command import run

OTEL = source.ROOT / "otel"
COLLECTOR: dict[str, Any] = source.read(OTEL / "collector.yaml")
COMPOSE: dict[str, Any] = source.read(OTEL / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
KINDS = ("receivers", "processors", "exporters")
each_service = pytest.mark.parametrize("name", SERVICES)


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_is_used_by_a_pipeline_and_every_one_used_is_there(kind: str) -> None:
    pipelines = COLLECTOR["service"]["pipelines"].values()
    assert {name for pipeline in pipelines for name in pipeline[kind]} == COLLECTOR[kind].keys()
    assert set(COLLECTOR["service"]["extensions"]) == COLLECTOR["extensions"].keys()


def test_pipelines_guard_memory_first_and_batch_last() -> None:
    assert COLLECTOR["service"]["pipelines"].keys() == {"traces", "metrics", "logs"}
    for pipeline in COLLECTOR["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        assert pipeline["processors"][-1] == "batch"


def test_traces_that_failed_are_all_kept() -> None:
    policies = {one["type"]: one for one in COLLECTOR["processors"]["tail_sampling"]["policies"]}
    assert policies["status_code"]["status_code"]["status_codes"] == ["ERROR"]
    assert policies["probabilistic"]["probabilistic"]["sampling_percentage"] < 100


def test_metrics_by_otlp_carry_the_labels_that_rules_go_by() -> None:
    (statements,) = COLLECTOR["processors"]["transform/origin"]["metric_statements"]
    set_labels = " ".join(statements["statements"])
    resource = Identity("shop", "probe", "1").resource({}).attributes
    for label, attribute in (("service", "service.name"), ("process", "sidecar.process")):
        assert f'attributes["{label}"], resource.attributes["{attribute}"]' in set_labels
        assert attribute in resource


def test_the_collector_sends_to_services_that_are_there() -> None:
    endpoints = [str(one.get("endpoint")) for one in COLLECTOR["exporters"].values()]
    hosts = {re.sub(r"^https?://", "", one).partition(":")[0] for one in endpoints} - {"0.0.0.0"}
    assert hosts <= SERVICES.keys()


def test_everything_that_was_promised_is_there() -> None:
    assert SERVICES.keys() >= {
        *("postgres", "collector", "prometheus", "alertmanager", "grafana", "tempo", "loki"),
        *("sidecar", "shop"),
    }


@each_service
def test_a_service_has_an_image_of_one_version_or_is_built_here(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert (OTEL / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.]*", service["image"])


@each_service
def test_what_a_service_mounts_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        origin, _, rest = volume.partition(":")
        if origin.startswith("."):
            assert (OTEL / origin).resolve().exists(), volume
            assert rest.endswith(":ro")
        else:
            assert origin in COMPOSE["volumes"]


@each_service
def test_a_service_waits_only_for_services_that_are_there(name: str) -> None:
    assert set(SERVICES[name].get("depends_on", ())) <= SERVICES.keys()


@each_service
def test_nothing_listens_outside_of_this_machine(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", ["sidecar", "shop"])
def test_our_containers_write_nothing_and_may_nothing(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_prometheus_accepts_the_scrape_configuration(
    binary: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").symlink_to(source.RULES)
    config = tmp_path / "prometheus.yaml"
    config.write_text((OTEL / "prometheus.yaml").read_text(encoding="utf-8"))
    run(binary("promtool"), "check", "config", config)
    scraped = source.read(config)["scrape_configs"][0]
    assert scraped["honor_labels"] is False
    assert scraped["static_configs"][0]["targets"][0].partition(":")[0] in SERVICES


def test_grafana_data_sources_are_services_that_are_there() -> None:
    path = source.DASHBOARDS / "provisioning" / "datasources" / "sidecar.yaml"
    for one in source.read(path)["datasources"]:
        assert re.fullmatch(r"http://(\w+):\d+", one["url"])
        assert one["url"].split("/")[2].partition(":")[0] in SERVICES
