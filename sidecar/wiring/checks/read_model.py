"""One check per projection: is its read model kept up?"""

from collections.abc import Callable
from typing import Final

from sidecar.health.check import Check
from sidecar.health.outcome import CheckResult, failed, passed, warned
from sidecar.projections.projection_status import STALL_SECONDS, ProjectionStatus, Rebuild, Status
from sidecar.wiring.checks import check
from sidecar.wiring.observed import ObservedState

_AT_WORK: Final = frozenset({Status.RUNNING, Status.CAUGHT_UP})


def projection_check(
    name: str, check_name: str, read: Callable[[], ObservedState], lag_limit_seconds: float
) -> Check:
    """Is the read model of projection `name` kept up?"""

    @check(check_name, "projections", critical=False, measurement="lag", fail_after=2)
    async def ask() -> CheckResult:
        state = read()
        projection = state.projections_by_name.get(name)
        if projection is None:
            return failed(f"{check_name}.unseen")
        # It is another service's, or fills a table together with another one.
        if name in state.refused:
            return failed(f"{check_name}.refused")
        # Where no worker of ours runs it, no loop here can be silent.
        silent_seconds = state.loop_ages.get(name, 0.0)
        return judge_projection(check_name, projection, silent_seconds, lag_limit_seconds)

    return ask


def judge_projection(
    check_name: str, projection: ProjectionStatus, silent_seconds: float, lag_limit_seconds: float
) -> CheckResult:
    """Turn how a projection stands into a check's answer.

    A loop that is caught up and dead has no lag yet; its heartbeat gives it away.
    """
    lag_seconds = projection.lag_seconds
    if projection.status in {Status.FAILED, Status.STALLED, Status.UNOWNED}:
        return failed(f"{check_name}.{projection.status.value}", lag_seconds, "s")
    if projection.status in _AT_WORK and silent_seconds > STALL_SECONDS:
        return failed(f"{check_name}.silent", silent_seconds, "s")
    if projection.verification.drift_rows:
        return failed(f"{check_name}.drifted", projection.verification.drift_rows, "row")
    if projection.lost_tables:
        return failed(f"{check_name}.{projection.worst_change}", projection.lost_tables, "table")
    blemish = _find_blemish(projection, lag_limit_seconds)
    if blemish:
        detail = _describe(projection) if blemish == "rebuild-halted" else ""
        return warned(f"{check_name}.{blemish}", lag_seconds, "s", detail=detail)
    return passed(lag_seconds, "s")


def _find_blemish(projection: ProjectionStatus, lag_limit_seconds: float) -> str:
    """Say what is not as it should be, though the loop does its work; empty for nothing.

    What readers see comes first: a rebuild that runs changes nothing, one that halted comes last.
    """
    change = projection.worst_change
    blemishes = {
        "dead-letters-deleted": projection.deleted,
        "dead-letters": projection.dead_letters,
        "passed-over": projection.passed_over,
        change.value if change else "": change,
        "paused": projection.status is Status.PAUSED,
        "incomplete": projection.rebuild is Rebuild.IN_PLACE,
        "late": projection.lag_seconds > lag_limit_seconds,
        "rebuild-halted": projection.rebuild is Rebuild.HALTED,
    }
    return next((word for word, holds in blemishes.items() if holds), "")


def _describe(projection: ProjectionStatus) -> str:
    """Say what a person has to decide about a rebuild; empty when a failure halted it."""
    if projection.approval is None:
        return ""
    return f"The rebuild of {projection.name} waits for a decision: {projection.approval}"
