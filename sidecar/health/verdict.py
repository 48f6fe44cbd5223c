"""Pure verdicts: from the statuses of checks and the phase to one answer."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from sidecar.config.option import DrainReadiness
from sidecar.health.check_status import CheckStatus
from sidecar.health.outcome import Outcome
from sidecar.health.phase import Phase, Stage

_SEVERITY: Final = (Outcome.PASS, Outcome.WARN, Outcome.UNKNOWN, Outcome.FAIL)


@dataclass(frozen=True, slots=True)
class ProbeVerdict:
    """The answer to one probe.

    Attributes:
        outcome: Pass, warn or fail; a probe never answers unknown.
        reasons: Codes of what stands against a pass, the phase first, then by check name.
    """

    ok: bool
    outcome: Outcome
    reasons: tuple[str, ...] = ()


def fold(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst: fail, then unknown, warn, pass; nothing at all passes."""
    return max(outcomes, key=severity, default=Outcome.PASS)


def severity(outcome: Outcome) -> int:
    """Return how bad an outcome is: the higher, the worse."""
    return _SEVERITY.index(outcome)


def weigh(status: CheckStatus) -> Outcome:
    """Return what a check contributes: its outcome if critical, otherwise a warning at most."""
    if status.check.critical or status.outcome is Outcome.PASS:
        return status.outcome
    return Outcome.WARN


def judge_liveness(statuses: Collection[CheckStatus]) -> ProbeVerdict:
    """Say whether a restart would help; expects the statuses of liveness checks.

    A check that has not answered yet only warns: a slow boot is no reason to start it again.
    """
    weights = (Outcome.WARN if status.is_pending else weigh(status) for status in statuses)
    return _verdict(fold(weights), reasons_of(statuses))


def judge_readiness(
    phase: Phase, statuses: Collection[CheckStatus], drain_readiness: DrainReadiness
) -> ProbeVerdict:
    """Say whether traffic may come; expects the statuses of readiness checks."""
    outcome = fold((weigh_phase(phase, drain_readiness), *map(weigh, statuses)))
    return _verdict(outcome, (*_phase_reasons(phase), *reasons_of(statuses)))


def judge_selection(statuses: Collection[CheckStatus]) -> ProbeVerdict:
    """Judge checks that were asked for by name: each counts, critical or not, and nothing else."""
    return _verdict(fold(status.outcome for status in statuses), reasons_of(statuses))


def judge_startup(phase: Phase, stage: Stage, statuses: Iterable[CheckStatus]) -> ProbeVerdict:
    """Say whether boot has finished: every critical check has answered, whatever it said.

    What a check says does not count, or an outage would read as a boot that hangs, and be answered
    with a restart. A held process has booted too: it waits for a person to read its report.
    """
    match phase:
        case Phase.STARTING:
            return _verdict(Outcome.FAIL, (*_phase_reasons(phase), f"startup.{stage}"))
        case Phase.HELD:
            return _verdict(Outcome.WARN, _phase_reasons(phase))
        case Phase.RUNNING:
            awaited = [each for each in statuses if each.check.critical and each.is_pending]
            outcome = Outcome.FAIL if awaited else Outcome.PASS
            return _verdict(outcome, reasons_of(awaited))
        case Phase.DRAINING:
            return _verdict(Outcome.PASS, ())


def weigh_phase(phase: Phase, drain_readiness: DrainReadiness) -> Outcome:
    """Return what the phase contributes to readiness."""
    if phase is Phase.RUNNING:
        return Outcome.PASS
    if phase is Phase.DRAINING and drain_readiness is DrainReadiness.KEEP:
        return Outcome.WARN
    return Outcome.FAIL


def reasons_of(statuses: Iterable[CheckStatus]) -> tuple[str, ...]:
    """Return the codes of all that do not pass, ordered by check name."""
    wrong = (status for status in statuses if status.outcome is not Outcome.PASS)
    return tuple(
        status.reason or f"{status.name}.{status.outcome}"
        for status in sorted(wrong, key=lambda status: status.name)
    )


def _phase_reasons(phase: Phase) -> tuple[str, ...]:
    return () if phase is Phase.RUNNING else (f"process.{phase}",)


def _verdict(outcome: Outcome, reasons: tuple[str, ...]) -> ProbeVerdict:
    if outcome.is_sound:
        return ProbeVerdict(ok=True, outcome=outcome, reasons=reasons)
    return ProbeVerdict(ok=False, outcome=Outcome.FAIL, reasons=reasons)
