"""Image and manifests: small, without rights, and what the published schemas allow."""

import re
import shlex
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import pytest
import yaml

from dashboards.build import RULES_OBJECT, wrap_rules
from sidecar.config.settings import Settings
from sidecar.config.severity import Severity
from sidecar.lint.deployment import read_deployment
from sidecar.lint.linter import validate_all
from tests.dashboards import source

OTEL = source.ROOT / "otel"
MANIFESTS = sorted((OTEL / "kubernetes").glob("*.yaml"))
DOCKERFILE = (OTEL / "Dockerfile").read_text(encoding="utf-8")
VERSIONS = ("1.29", "1.37")
OF_THE_OPERATOR = "monitoring.coreos.com/v1"
LEAST_OF_OPERATOR = {
    "PodMonitor": {"selector", "podMetricsEndpoints"},
    "PrometheusRule": {"groups"},
}


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = source.read(OTEL / "kubernetes" / f"{name}.yaml")
    return found


POD: dict[str, Any] = manifest("deployment")["spec"]["template"]["spec"]
(SIDECAR,) = POD["initContainers"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_keeps_to_the_published_schema(version: str, path: Any) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    document = source.read(path)
    if document["apiVersion"] == OF_THE_OPERATOR:
        assert document["spec"].keys() == LEAST_OF_OPERATOR[document["kind"]]
    else:
        validate(document, version, strict=True)


def test_the_sidecar_is_a_native_one_that_starts_first_and_ends_last() -> None:
    assert SIDECAR["restartPolicy"] == "Always"
    assert SIDECAR["startupProbe"]


def test_each_probe_asks_the_path_made_for_it() -> None:
    paths = {
        name: SIDECAR[name]["httpGet"]["path"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {
        "startupProbe": "/startup",
        "livenessProbe": "/health",
        "readinessProbe": "/ready",
    }


def test_the_grace_period_outlasts_the_drain() -> None:
    telemetry_seconds = production_drain_seconds = 5
    needed = telemetry_seconds + production_drain_seconds + Settings().worker_hang_seconds
    assert POD["terminationGracePeriodSeconds"] >= needed


@pytest.mark.parametrize("container", [SIDECAR, *POD["containers"]], ids=lambda one: one["name"])
def test_a_container_may_nothing_and_writes_nothing(container: dict[str, Any]) -> None:
    assert POD["securityContext"]["runAsNonRoot"] is True
    confined = container["securityContext"]
    assert confined["readOnlyRootFilesystem"] is True
    assert confined["allowPrivilegeEscalation"] is False
    assert confined["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]


def test_no_secret_stands_in_a_manifest() -> None:
    names = {one["name"] for one in SIDECAR["env"]}
    assert {"DATABASE_URL_FILE", "SECRET_KEY_FILE", "SIDECAR_TOKEN_FILE"} <= names
    assert not {"DATABASE_URL", "SECRET_KEY", "SIDECAR_TOKEN"} & names


@pytest.mark.parametrize("name", ["sidecar", "shop"])
def test_no_rule_stands_against_the_first_start(name: str) -> None:
    path = OTEL / "kubernetes" / "deployment.yaml"
    [workload] = read_deployment([path], part=name, shell={}).workloads
    [verdict] = validate_all([workload], now=datetime.now(UTC))
    found = verdict.findings
    assert workload.environ.text("ENVIRONMENT") == "production"
    assert [(each.id, each.message) for each in found if each.severity is not Severity.INFO] == []


def test_what_an_image_adds_to_its_working_directory_is_not_hidden_by_a_mount() -> None:
    (directory,) = re.findall(r"^WORKDIR (\S+)$", DOCKERFILE.rpartition("FROM ")[2], re.MULTILINE)
    mounts = {mount["mountPath"] for mount in SIDECAR["volumeMounts"]}
    assert not [mount for mount in mounts if PurePath(directory).is_relative_to(mount)]


def test_the_network_lets_only_prometheus_reach_the_sidecar() -> None:
    ports = {port["name"] for port in SIDECAR["ports"]}
    rules = manifest("network-policy")["spec"]["ingress"]
    (guarded,) = [rule for rule in rules if rule["ports"][0]["port"] in ports]
    assert guarded["from"][0]["namespaceSelector"]


def test_the_monitor_scrapes_the_sidecar_and_lets_the_operator_label_it() -> None:
    (endpoint,) = manifest("pod-monitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in SIDECAR["ports"]}
    assert endpoint["honorLabels"] is False
    assert "relabelings" not in endpoint


def test_the_rules_of_the_operator_are_the_rules() -> None:
    text = RULES_OBJECT.read_text(encoding="utf-8")
    assert text == wrap_rules(source.RULES.read_text(encoding="utf-8")), "run `make dashboards`"
    assert yaml.safe_load(text)["spec"] == source.read(source.RULES)


def test_the_image_is_built_apart_and_runs_without_rights() -> None:
    steps = re.sub(r"\\\n", " ", DOCKERFILE)
    assert len(re.findall(r"^FROM python:\d\.\d+-slim", steps, re.MULTILINE)) == 2
    last = steps.rpartition("FROM ")[2]
    assert re.search(r"^USER [1-9]\d*:\d+$", last, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["sidecar"\]$', last, re.MULTILINE)
    assert "pip install" not in last


def test_what_the_image_copies_is_there() -> None:
    for words in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *origins, _ = shlex.split(words)
        assert all((source.ROOT / origin).exists() for origin in origins)
