"""Alertmanager sends each alert to the right person, once, with all they need in it."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards import source
from tests.dashboards.command import run
from tests.dashboards.inhibition import CONFIG, LABELS, fits, inhibited, pairs_of

RECEIVERS = {"critical": "pager", "warning": "mail", "info": "nobody", "unheard-of": "mail"}
WEIGHTS = {"info": 0, "warning": 1, "critical": 2}
SERVICE = {"cluster": "east", "namespace": "web", "service": "shop"}
OTHER = {"service": "bills"}
DOWN = {"alertname": "SidecarDown", **SERVICE, "instance": "a:8686"}
SERVICE_DOWN = {"alertname": "SidecarDown", **SERVICE}
NOT_READY = {"alertname": "SidecarNotReady", **SERVICE, "instance": "a:8686"}
DEAD = {"alertname": "SidecarProjectionLoopDead", **SERVICE, "projection": "orders"}
LAG = {"alertname": "SidecarProjectionLagHigh", **SERVICE, "projection": "orders"}
LETTERS = {"alertname": "SidecarDeadLetters", **SERVICE, "projection": "orders"}
HALTED = LAG | {"alertname": "SidecarProjectionHalted"}
STALLED = LAG | {"alertname": "SidecarProjectionStalled"}
FAILING = LAG | {"alertname": "SidecarProjectionFailing"}
GROWING = LAG | {"alertname": "SidecarDeadLettersGrowing"}
BURN_OF_ALL = {"alertname": "SidecarPublishBudgetBurn", **SERVICE}
BURN = BURN_OF_ALL | {"kind": "projection", "projection": "orders"}
BURN_OF_HANDLER = BURN | {"kind": "handler", "projection": "receipts"}
BURN_SLOW = BURN | {"alertname": "SidecarPublishBudgetBurnSlow"}
UNREACHABLE = {"alertname": "SidecarStoreUnreachable", **SERVICE}
READ_ONLY = UNREACHABLE | {"alertname": "SidecarStoreReadOnly"}
LOGIN_REFUSED = UNREACHABLE | {"alertname": "SidecarLoginRefused"}
SLOW = UNREACHABLE | {"alertname": "SidecarStoreSlow"}
DISK_FULL = NOT_READY | {"alertname": "SidecarDiskFull"}
LATE = LAG | {"alertname": "SidecarFreshnessBudgetBurn"}
HUNG = NOT_READY | {"alertname": "SidecarApplicationDown"}
CONFIG_INVALID = NOT_READY | {"alertname": "SidecarConfigInvalid"}
POOL = {"process": "app", "db_client_connection_pool_name": "shop"}
POOL_WAITS = NOT_READY | POOL | {"alertname": "SidecarPoolWaitHigh"}
POOL_TIMEOUTS = NOT_READY | POOL | {"alertname": "SidecarPoolTimeouts"}
FOREIGN = {"alertname": "NodeDiskFull", **SERVICE, "instance": "a:8686"}


def test_amtool_accepts_the_configuration(binary: Callable[[str], str]) -> None:
    run(binary("amtool"), "check-config", source.ALERTMANAGER)


@pytest.mark.parametrize(("severity", "receiver"), RECEIVERS.items())
def test_severity_decides_who_hears_of_it(
    binary: Callable[[str], str], severity: str, receiver: str
) -> None:
    test = (binary("amtool"), "config", "routes", "test", f"--config.file={source.ALERTMANAGER}")
    labels = ("alertname=SidecarNotReady", "service=shop", f"severity={severity}")
    run(*test, f"--verify.receivers={receiver}", *labels)


@pytest.mark.parametrize("name", source.alerts())
def test_every_alert_has_a_severity_with_a_route_of_its_own(name: str) -> None:
    routed = [matcher for route in CONFIG["route"]["routes"] for matcher in route["matchers"]]
    assert f"severity = {source.alerts()[name]['labels']['severity']}" in routed


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        pytest.param(NOT_READY, DOWN, id="what was said about an instance that is down"),
        pytest.param(NOT_READY, SERVICE_DOWN, id="an instance of a service that is gone"),
        pytest.param(LETTERS, SERVICE_DOWN, id="a projection of a service that is gone"),
        pytest.param(LAG, DEAD, id="the lag of a projection that nothing runs"),
        pytest.param(LAG, STALLED, id="the lag of a projection that stalls"),
        pytest.param(DEAD, STALLED, id="the silence of a projection that stalls"),
        pytest.param(STALLED, HALTED, id="standing still, where it has halted"),
        pytest.param(FAILING, HALTED, id="the failure that halted it"),
        pytest.param(FAILING, GROWING, id="failures, where stream after stream is parked"),
        pytest.param(LETTERS, FAILING, id="the dead letter of a failure just told"),
        pytest.param(BURN, GROWING, id="the budget that they spend"),
        pytest.param(BURN_SLOW, GROWING, id="the budget that they spend slowly"),
        pytest.param(BURN_SLOW, BURN, id="a budget that burns fast"),
        pytest.param(NOT_READY, UNREACHABLE, id="readiness without a database"),
        pytest.param(STALLED, UNREACHABLE, id="a projection without a database"),
        pytest.param(NOT_READY, READ_ONLY, id="readiness without writes"),
        pytest.param(LOGIN_REFUSED, UNREACHABLE, id="a login where nobody is let in"),
        pytest.param(POOL_WAITS, UNREACHABLE, id="a pool without a database"),
        pytest.param(UNREACHABLE, DISK_FULL, id="a database without disk"),
        pytest.param(LAG, SLOW, id="lag behind a slow database"),
        pytest.param(POOL_WAITS, SLOW, id="a pool of a slow database"),
        pytest.param(NOT_READY, HUNG, id="readiness while the application hangs"),
        pytest.param(POOL_WAITS, POOL_TIMEOUTS, id="waiting, where callers give up"),
    ],
)
def test_the_cause_silences(target: dict[str, str], cause: dict[str, str]) -> None:
    assert inhibited(target, cause)


@pytest.mark.parametrize(
    ("target", "other"),
    [
        pytest.param(NOT_READY | {"instance": "b:8686"}, DOWN, id="another instance"),
        pytest.param(NOT_READY | OTHER, SERVICE_DOWN, id="another service"),
        pytest.param(LAG | {"namespace": "back"}, SLOW, id="the same name in another namespace"),
        pytest.param(LAG | {"cluster": "west"}, STALLED, id="the same name in another cluster"),
        pytest.param(LETTERS, DOWN, id="a projection while one instance of several is down"),
        pytest.param(LAG | {"projection": "stock"}, DEAD, id="another projection"),
        pytest.param(DEAD, LAG, id="the cause itself"),
        pytest.param(DOWN, SERVICE_DOWN, id="down itself"),
        pytest.param(NOT_READY | OTHER, UNREACHABLE, id="another service's database"),
        pytest.param(POOL_WAITS | {"process": "worker-1"}, POOL_TIMEOUTS, id="another pool"),
        pytest.param(UNREACHABLE, LOGIN_REFUSED, id="an outage by a mail"),
        pytest.param(CONFIG_INVALID, UNREACHABLE, id="what needs no database"),
        pytest.param(FAILING, LETTERS, id="a failure by its dead letter"),
        pytest.param(STALLED | {"projection": "stock"}, HALTED, id="another projection's halt"),
        pytest.param(LATE, SLOW, id="a page by a mail"),
        pytest.param(LATE, LAG, id="a page by a mail that a mail silences"),
        pytest.param(BURN, FAILING, id="the budget, by one event"),
        pytest.param(BURN, HALTED, id="the budget, by one that stands still"),
        pytest.param(BURN_OF_HANDLER, GROWING, id="what a handler spends, by a projection's"),
        pytest.param(BURN_OF_ALL, GROWING, id="what all spend together, by one projection's"),
        pytest.param(BURN_SLOW, BURN_OF_HANDLER, id="what one spends slowly, by another's"),
        pytest.param(FOREIGN, DOWN, id="alerts of others"),
    ],
)
def test_nothing_else_is_silenced(target: dict[str, str], other: dict[str, str]) -> None:
    assert not inhibited(target, other)


@pytest.mark.parametrize("rule", CONFIG["inhibit_rules"], ids=lambda rule: str(rule)[:120])
def test_cause_and_symptom_carry_every_label_that_must_be_equal(rule: dict[str, Any]) -> None:
    causes = [one for one in (*LABELS.values(), SERVICE_DOWN) if fits(rule["source_matchers"], one)]
    assert causes
    assert all(set(rule["equal"]) <= labels.keys() for labels in causes)
    # Whatever shares no label with its cause is beside the point: a replica is not the service.
    symptoms = [one for one in LABELS.values() if fits(rule["target_matchers"], one)]
    assert any(set(rule["equal"]) <= labels.keys() for labels in symptoms)


@pytest.mark.parametrize("rule", CONFIG["inhibit_rules"], ids=lambda rule: str(rule)[:120])
def test_what_is_mailed_silences_nothing_that_pages(rule: dict[str, Any]) -> None:
    # Compared without the rule's labels: what is silenced itself goes on silencing.
    weights = {name: WEIGHTS[one["labels"]["severity"]] for name, one in source.alerts().items()}
    lesser = [pair for pair in pairs_of(rule) if weights[pair[0]] < weights[pair[1]]]
    assert not lesser


@pytest.mark.parametrize("rule", CONFIG["inhibit_rules"], ids=lambda rule: str(rule)[:120])
def test_what_is_wrong_with_one_subscriber_explains_nothing_about_another(
    rule: dict[str, Any],
) -> None:
    causes = [one for one in LABELS.values() if fits(rule["source_matchers"], one)]
    if any("projection" in one for one in causes):
        assert "projection" in rule["equal"]


def test_the_watchdog_has_a_receiver_of_its_own(binary: Callable[[str], str]) -> None:
    test = (binary("amtool"), "config", "routes", "test", f"--config.file={source.ALERTMANAGER}")
    run(*test, "--verify.receivers=heartbeat", "alertname=SidecarWatchdog", "severity=info")


def test_no_alert_silences_itself_or_its_own_cause() -> None:
    assert not [one for one in LABELS.values() if inhibited(one, one)]
    for one, other in itertools.combinations(LABELS.values(), 2):
        assert not (inhibited(one, other) and inhibited(other, one)), (one, other)


def test_a_message_says_what_happened_and_links_to_runbook_and_dashboard(
    binary: Callable[[str], str], tmp_path: Path
) -> None:
    shown = render(
        binary("amtool"),
        tmp_path,
        runbook_url="dashboards/runbooks/SidecarProjectionLagHigh.md",
        dashboard_url="d/sidecar?viewPanel=204",
    )
    assert "[firing] SidecarProjectionLagHigh shop orders (KeyError)" in shown
    assert "\nService: shop (web, east)\nProjection: orders\nError: KeyError\n" in shown
    assert "Since: 2026-01-02 03:04:05 UTC" in shown
    assert re.search(
        r"Runbook: https://\S+/dashboards/runbooks/SidecarProjectionLagHigh\.md", shown
    )
    assert re.search(r"Dashboard: http://\S+/d/sidecar\?viewPanel=204", shown)


def test_a_link_that_is_whole_already_is_left_alone(
    binary: Callable[[str], str], tmp_path: Path
) -> None:
    shown = render(
        binary("amtool"),
        tmp_path,
        runbook_url="https://git.shop.io/SidecarProjectionLagHigh.md",
        dashboard_url="http://grafana.shop.io/d/sidecar",
    )
    assert "Runbook: https://git.shop.io/SidecarProjectionLagHigh.md\n" in shown
    assert "Dashboard: http://grafana.shop.io/d/sidecar\n" in shown


def render(amtool: str, tmp_path: Path, **links: str) -> str:
    """Give subject and text of the mail about an alert with these links."""
    annotations = {
        "summary": "Projection orders is behind.",
        "description": "It is 90 s behind.",
        "error_type": "KeyError",
        **links,
    }
    alert = {
        "status": "firing",
        "labels": LAG,
        "annotations": annotations,
        "startsAt": "2026-01-02T03:04:05Z",
    }
    data = tmp_path / "data.json"
    data.write_text(
        json.dumps(
            {
                "status": "firing",
                "commonLabels": LAG,
                "commonAnnotations": annotations,
                "alerts": [alert],
            }
        )
    )
    template = source.ALERTMANAGER.with_name("sidecar.tmpl")
    text = '{{ template "sidecar.subject" . }}\n{{ template "sidecar.text" . }}'
    return run(
        amtool,
        "template",
        "render",
        f"--template.glob={template}",
        f"--template.data={data}",
        f"--template.text={text}",
    )
