"""What is said first when something is wrong."""

import datetime as dt
from dataclasses import replace

import pytest

from sidecar.health.check import Check
from sidecar.health.check_status import CheckStatus
from sidecar.health.outcome import CheckResult, Outcome, passed
from sidecar.health.verdict import ProbeVerdict
from sidecar.postgres.samples.sample import Sample
from sidecar.process.worker_place import RestartReason, WorkerState, WorkerStatus
from sidecar.projections.drift import VerificationStatus, describe_verification
from sidecar.projections.projection_status import ProjectionStatus, Status
from sidecar.wiring.headline import MOST_DESCRIBED, describe, list_troubled, weigh
from sidecar.wiring.observed import ObservedState
from tests.observed import ready_state

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
SAMPLE = Sample(NOW, 10, 10, 0.0, (), 0, (), (), {})
WELL = ProjectionStatus("totals", "table", Status.CAUGHT_UP, 10, 0, 0.0, 0, 0, ("worker-1",), NOW)


async def run() -> CheckResult:
    return passed()


def status(name: str, outcome: str, *, critical: bool = True, detail: str = "") -> CheckStatus:
    check = Check(name=name, run=run, critical=critical)
    return CheckStatus(Outcome(outcome), f"{name}.told", detail=detail, check=check)


def workers(*states: WorkerState, restarts: int = 0, is_new: bool = False) -> str:
    """Describe workers in these states, with a database that is well."""
    made = tuple(
        WorkerStatus(
            f"worker-{number}",
            state,
            restarts={RestartReason.EXITED: restarts},
            is_new=is_new,
        )
        for number, state in enumerate(states, 1)
    )
    return describe(ready_state(SAMPLE, workers=made))


def not_ready(reasons: list[str], statuses: list[CheckStatus]) -> str:
    verdict = ProbeVerdict(ok=False, outcome=Outcome.FAIL, reasons=tuple(reasons))
    return describe(ObservedState(readiness=verdict, checks=tuple(statuses)))


@pytest.mark.parametrize(
    ("ready", "outcomes", "worst"),
    [
        (True, ("pass", "pass"), "pass"),
        (True, ("pass", "warn"), "warn"),
        (True, ("unknown", "warn"), "warn"),
        (True, ("fail", "warn"), "fail"),
        (False, ("pass",), "fail"),
    ],
)
def test_the_worst_check_counts_also_where_it_stops_no_traffic(
    ready: bool,  # noqa: FBT001
    outcomes: tuple[str, ...],
    worst: str,
) -> None:
    statuses = [status(f"c{n}", one, critical=False) for n, one in enumerate(outcomes)]
    assert weigh(ready, statuses) == worst


def test_all_workers_dead_is_said_first() -> None:
    told = workers(WorkerState.WAITING, WorkerState.WAITING, restarts=5)
    assert told.startswith("No worker runs: worker-1 is waiting after 5 restarts, worker-2 is ")
    assert told.endswith(" Ready.")


def test_some_workers_dead_is_said_first() -> None:
    told = workers(WorkerState.RUNNING, WorkerState.SILENT)
    assert told.startswith("1 of 2 workers do not run: worker-2 ")


def test_workers_that_run_or_have_just_been_started_are_not_mentioned() -> None:
    assert workers(WorkerState.STARTING, WorkerState.STARTING, is_new=True) == "Ready."
    assert workers(WorkerState.RUNNING, WorkerState.RUNNING) == "Ready."


def test_what_keeps_traffic_away_comes_before_what_only_warns() -> None:
    statuses = [
        status("event-store", "fail", critical=False, detail="A lock."),
        status("postgres", "fail", detail="The password is refused."),
        status("zone", "warn"),
    ]
    reasons = [one.reason for one in statuses]
    told = not_ready(reasons, statuses)
    assert told == (
        "Not ready: postgres.told, event-store.told, zone.told. The password is refused. A lock."
    )
    assert [one.name for one in list_troubled(statuses)] == ["postgres", "event-store", "zone"]


def test_one_cause_is_told_once() -> None:
    statuses = [status(name, "fail", detail="Refused.") for name in ("postgres", "postgres-login")]
    assert not_ready([], statuses) == "Not ready: starting. Refused."


def test_projections_are_told_worst_first_and_not_all_three_hundred() -> None:
    late = [replace(WELL, name=f"late-{n}", lag_seconds=float(n)) for n in range(1, 300)]
    failed = replace(WELL, name="totals", status=Status.FAILED)
    told = describe(ready_state(replace(SAMPLE, projections=(*late, failed))))
    first, second = "Projection totals is failed.", "Projection late-299 is 299 s behind."
    assert told.startswith(f"Ready. {first} {second} ")
    assert told.count("Projection ") == MOST_DESCRIBED
    assert told.endswith("295 more projections need a look.")


def test_a_read_model_that_is_wrong_is_said_with_what_puts_it_right() -> None:
    drifted = VerificationStatus(verified_at=NOW, position=7, drift_rows=2)
    wrong = replace(WELL, verification=drifted)
    assert describe(ready_state(replace(SAMPLE, projections=(wrong,)))) == (
        "Ready. Of totals 2 rows are not as the log has them, verified at position 7: `sidecar "
        "projections verify totals` shows which, `sidecar projections rebuild totals` puts them "
        "right."
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (VerificationStatus(), "not yet"),
        (VerificationStatus(failure="ValueError at position 7"), "could not be: ValueError"),
        (VerificationStatus(verified_at=NOW, position=7), "1 min ago at 7, no difference"),
        (
            VerificationStatus(verified_at=NOW - dt.timedelta(hours=3), drift_rows=2),
            "3 h ago at 0, 2 rows differ",
        ),
        (VerificationStatus(verified_at=NOW - dt.timedelta(days=3)), "3 d ago"),
    ],
)
def test_when_a_read_model_was_verified_is_said_in_a_few_words(
    status: VerificationStatus, words: str
) -> None:
    assert describe_verification(status, NOW).startswith(words)
