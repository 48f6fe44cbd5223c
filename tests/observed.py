"""States of a probe process, as far as a test is about them."""

import datetime as dt
from typing import Any, Final

from sidecar.config.severity import Severity
from sidecar.health.check import Check
from sidecar.health.check_status import CheckStatus
from sidecar.health.outcome import CheckResult, Outcome, passed
from sidecar.health.verdict import ProbeVerdict
from sidecar.lint.finding import Finding
from sidecar.lint.rules.secrets import SEC01
from sidecar.postgres.samples.sample import Sample
from sidecar.process.heartbeat import Heartbeat, LoopReport
from sidecar.process.worker_place import RestartReason, WorkerStatus
from sidecar.projections.deleted_letters import DeletedLetters
from sidecar.projections.drift import VerificationStatus
from sidecar.projections.interruption import Interruption
from sidecar.projections.passed_over import PassedOver
from sidecar.projections.projection_status import ProjectionStatus, Rebuild, Status
from sidecar.wiring.observed import ObservedState
from sidecar.wiring.state_metrics import SERVER_METRICS

NOW: Final = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
READY: Final = ProbeVerdict(ok=True, outcome=Outcome.PASS)
TOTALS: Final = ProjectionStatus(
    "totals",
    "table",
    Status.RUNNING,
    position=7,
    lag_events=3,
    lag_seconds=1.5,
    dead_letters=0,
    parked_streams=0,
    owners=(),
    moved_at=None,
    rebuild=Rebuild.RUNNING,
    passed_over=(PassedOver("Placed", 2, 1, 9),),
    verification=VerificationStatus(verified_at=NOW, position=7, drift_rows=1),
    deleted=DeletedLetters(1, 2, ("ada",), NOW),
)


INTERRUPTED: Final = Heartbeat(
    projections=(LoopReport("totals", interruption=Interruption(0.0, "DiskFullError", "")),)
)


def ready_state(sample: Sample | None = None, **fields: Any) -> ObservedState:
    """Return one that is ready; everything else is as it is before anything was seen."""
    return ObservedState(readiness=READY, sample=sample, **fields)


async def _never_asked() -> CheckResult:
    return passed()


def full_state() -> ObservedState:
    """Return one of which every metric has something to show."""
    check = Check(name="database", run=_never_asked)
    sample = Sample(
        NOW,
        8,
        9,
        0.0,
        (),
        1,
        (TOTALS,),
        (),
        {("shop", "idle"): 4},
        server=dict.fromkeys(SERVER_METRICS, 1),
    )
    return ready_state(
        sample,
        now=NOW,
        checks=(CheckStatus(Outcome.PASS, cause="password-refused", check=check),),
        findings=(
            Finding(SEC01, "SECRET_KEY", "It is short.", "Make it.", severity=Severity.WARNING),
        ),
        workers=(
            WorkerStatus(
                "worker-1", restarts=dict.fromkeys(RestartReason, 0), heartbeat=INTERRUPTED
            ),
        ),
        transitions={("database", "fail"): 1},
        scrape_failures={"worker-1": 0},
    )
