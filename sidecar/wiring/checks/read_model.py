"""One check per projection: is its read model kept up?"""

from collections.abc import Callable
from typing import Final

from sidecar.health.check import Check
from sidecar.health.outcome import CheckResult, failed, passed, warned
from sidecar.projections.interruption import Interruption
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
        interruption = state.interruptions.get(name)
        return judge_projection(
            check_name, projection, silent_seconds, lag_limit_seconds, interruption
        )

    return ask


def judge_projection(
    check_name: str,
    projection: ProjectionStatus,
    silent_seconds: float,
    lag_limit_seconds: float,
    interruption: Interruption | None = None,
) -> CheckResult:
    """Turn how a projection stands into a check's answer.

    The reason is the worst that is so; what a person has to decide or to mend is told beside it.
    A loop that is caught up and dead has no lag yet; its heartbeat gives it away.
    """
    detail = _describe(projection, interruption)
    lag_seconds = projection.lag_seconds
    if projection.status in {Status.FAILED, Status.STALLED, Status.UNOWNED}:
        return failed(f"{check_name}.{projection.status.value}", lag_seconds, "s", detail=detail)
    if projection.status in _AT_WORK and silent_seconds > STALL_SECONDS:
        return failed(f"{check_name}.silent", silent_seconds, "s", detail=detail)
    if drift_rows := projection.verification.drift_rows:
        return failed(f"{check_name}.drifted", drift_rows, "row", detail=detail)
    if lost := projection.lost_tables:
        return failed(f"{check_name}.{projection.worst_change}", lost, "table", detail=detail)
    is_interrupted = interruption is not None
    if blemish := _find_blemish(projection, lag_limit_seconds, is_interrupted=is_interrupted):
        return warned(f"{check_name}.{blemish}", lag_seconds, "s", detail=detail)
    return passed(lag_seconds, "s")


def _find_blemish(
    projection: ProjectionStatus, lag_limit_seconds: float, *, is_interrupted: bool
) -> str:
    """Say what is not as it should be, though the loop runs; empty for nothing.

    What stands still until somebody acts comes first, then what readers see, the longest to stay
    before what passes. A rebuild that runs changes nothing, one that failed comes last.
    """
    change = projection.worst_change
    blemishes = (
        ("interrupted", is_interrupted),
        ("rebuild-halted", projection.approval is not None),
        ("dead-letters-deleted", projection.deleted),
        ("dead-letters", projection.dead_letters),
        ("passed-over", projection.passed_over),
        (change.value if change else "", change),
        ("paused", projection.status is Status.PAUSED),
        ("incomplete", projection.rebuild is Rebuild.IN_PLACE),
        ("late", projection.lag_seconds > lag_limit_seconds),
        ("rebuild-halted", projection.rebuild is Rebuild.HALTED),
    )
    return next((word for word, holds in blemishes if holds), "")


def _describe(projection: ProjectionStatus, interruption: Interruption | None) -> str:
    """Say what a person has to mend and to decide; empty for nothing."""
    told = []
    if interruption is not None:
        told.append(f"{projection.name}: {interruption.describe()}")
    if projection.approval is not None:
        told.append(f"The rebuild of {projection.name} waits for a decision: {projection.approval}")
    return ". ".join(told)
