"""What another process tells is read with care, once, and never more of it than can be shown."""

import time
from typing import Any

import msgspec
import pytest

from sidecar.events.subscriber import SubscriberKind
from sidecar.health.outcome import Outcome
from sidecar.lint.finding import Violation
from sidecar.lint.rules.event_versions import HOLE
from sidecar.process.heartbeat import (
    MAX_CHECKS,
    MAX_HEARTBEAT_BYTES,
    CheckReport,
    Heartbeat,
    LoopReport,
    SubscriberReport,
    at_most,
    parse_heartbeat,
)


def check(number: int) -> dict[str, Any]:
    return {"name": f"tenant-{number}", "outcome": "pass", "critical": False}


def test_what_is_written_is_read() -> None:
    told = Heartbeat(
        agent="7-ab",
        process="app",
        pid=7,
        loop_lag_seconds=0.25,
        telemetry_dropped=3,
        checks=(CheckReport("tax", Outcome.WARN, "tax.slow", groups=("money",), observed_value=2),),
        subscribers=(SubscriberReport(SubscriberKind.HANDLER, "mails", 5, 1, "KeyError", 1.5),),
        troubles={"port": 1},
        left_out=2,
        projections=(LoopReport("billing/invoices (rebuild)", 2, "rebuild", 0.5),),
        setups={"totals": 1.5},
        refused={"labels": "It is another service's."},
        violations=(Violation(HOLE, "OrderPlaced", "It cannot be read.", "Register one."),),
    )
    assert parse_heartbeat(msgspec.json.decode(msgspec.json.encode(told))) == told


def test_more_checks_than_can_be_shown_are_counted_and_cost_nothing() -> None:
    told = {"checks": [check(number) for number in range(15_000)]}
    began = time.process_time()
    heartbeat = parse_heartbeat(told)
    assert time.process_time() - began < 0.05
    assert [each.name for each in heartbeat.checks[:2]] == ["tenant-0", "tenant-1"]
    assert len(heartbeat.checks) == MAX_CHECKS
    assert heartbeat.left_out == 15_000 - MAX_CHECKS


@pytest.mark.parametrize(
    "bad", [7, {"name": "tax"}, {"name": "x" * 9999, "outcome": "pass"}, {"outcome": "fine"}, None]
)
def test_one_check_that_is_not_as_it_should_be_takes_no_other_with_it(bad: object) -> None:
    heartbeat = parse_heartbeat({"checks": [check(1), bad, check(2)]})
    assert [each.name for each in heartbeat.checks] == ["tenant-1", "tenant-2"]
    assert heartbeat.left_out == 1


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"checks": "all", "pools": {"a": 1}, "subscribers": 3},
        {"projections": {"totals/0": {"position": 3}}, "findings": [{"id": "EVT01"}]},
        {"setups": ["totals"], "refused": {"totals": 3}, "violations": "none"},
        {"loop_lag_seconds": "late", "pid": "me", "agent": 4, "troubles": ["port"]},
        {"left_out": None, "telemetry_dropped": [], "process": {}},
    ],
)
def test_what_is_no_heartbeat_of_ours_reads_as_an_empty_one(told: dict[str, object]) -> None:
    assert parse_heartbeat(told) == Heartbeat()


def test_a_heartbeat_that_could_not_be_taken_leaves_no_check_that_passes() -> None:
    silenced = parse_heartbeat({"checks": [check(1)]}).silenced()
    assert [each.result.outcome for each in silenced.checks] == [Outcome.UNKNOWN]
    assert silenced.silenced() == silenced
    assert silenced.left_out == 1


def test_what_an_agent_of_ours_tells_at_most_is_never_too_long() -> None:
    checks, left_out = at_most(MAX_CHECKS, [CheckReport("x" * 200, Outcome.PASS)] * 500)
    assert left_out == 400
    assert len(msgspec.json.encode(Heartbeat(checks=checks))) < MAX_HEARTBEAT_BYTES
