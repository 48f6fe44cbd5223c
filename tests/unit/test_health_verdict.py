from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.option import DrainReadiness
from sidecar.health.check import Check, Probe
from sidecar.health.check_status import CheckStatus
from sidecar.health.outcome import CheckResult, Outcome, passed
from sidecar.health.phase import Phase, Stage
from sidecar.health.verdict import (
    fold,
    judge_liveness,
    judge_readiness,
    judge_selection,
    judge_startup,
)

outcomes = st.lists(st.sampled_from(list(Outcome)))
FAIL_DRAIN = DrainReadiness.FAIL


async def never_asked() -> CheckResult:
    return passed()


def status(
    outcome: Outcome, *, name: str = "postgres", critical: bool = True, reason: str = ""
) -> CheckStatus:
    check = Check(name=name, run=never_asked, critical=critical)
    return CheckStatus(outcome, reason, check=check, measured_at=datetime(2026, 1, 1, tzinfo=UTC))


def pending(name: str = "loop") -> CheckStatus:
    check = Check(name=name, run=never_asked, probe=Probe.LIVENESS, in_process=True)
    return CheckStatus(Outcome.UNKNOWN, f"{name}.pending", check=check)


statuses = st.builds(status, st.sampled_from(list(Outcome)), critical=st.booleans())


@given(some=outcomes, data=st.data())
def test_fold_does_not_depend_on_order(some: list[Outcome], data: st.DataObject) -> None:
    assert fold(some) is fold(data.draw(st.permutations(some)))


@given(some=outcomes, more=outcomes)
def test_fold_is_idempotent_and_associative(some: list[Outcome], more: list[Outcome]) -> None:
    assert fold([fold(some), fold(some)]) is fold(some)
    assert fold([fold(some), fold(more)]) is fold(some + more)


@given(some=outcomes)
def test_unknown_never_reads_as_pass(some: list[Outcome]) -> None:
    assert not fold([*some, Outcome.UNKNOWN]).is_sound


@given(some=st.lists(statuses))
def test_readiness_is_good_exactly_when_no_critical_check_is_unsound(
    some: list[CheckStatus],
) -> None:
    verdict = judge_readiness(Phase.RUNNING, some, FAIL_DRAIN)
    critical_is_sound = all(s.outcome.is_sound for s in some if s.check.critical)

    assert verdict.ok is critical_is_sound
    assert verdict.ok is verdict.outcome.is_sound
    assert (verdict.outcome is Outcome.PASS) is all(s.outcome is Outcome.PASS for s in some)


@given(some=st.lists(statuses), drain=st.sampled_from(list(DrainReadiness)))
@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.HELD])
def test_a_process_that_starts_or_is_held_is_never_ready(
    phase: Phase, some: list[CheckStatus], drain: DrainReadiness
) -> None:
    assert not judge_readiness(phase, some, drain).ok


def test_draining_fails_readiness_unless_the_platform_wants_it_kept() -> None:
    fine = [status(Outcome.PASS)]

    assert not judge_readiness(Phase.DRAINING, fine, DrainReadiness.FAIL).ok
    kept = judge_readiness(Phase.DRAINING, fine, DrainReadiness.KEEP)
    assert kept.ok
    assert kept.reasons == ("process.draining",)


def test_a_failed_check_that_is_not_critical_only_warns() -> None:
    verdict = judge_readiness(Phase.RUNNING, [status(Outcome.FAIL, critical=False)], FAIL_DRAIN)

    assert verdict.ok
    assert verdict.outcome is Outcome.WARN


def test_reasons_are_ordered_and_leave_out_what_passes() -> None:
    verdict = judge_readiness(
        Phase.STARTING,
        [
            status(Outcome.FAIL, name="zookeeper", reason="zookeeper.down"),
            status(Outcome.PASS, name="postgres"),
            status(Outcome.WARN, name="disk"),
        ],
        FAIL_DRAIN,
    )

    assert verdict.reasons == ("process.starting", "disk.warn", "zookeeper.down")


def test_liveness_tolerates_a_check_that_has_not_answered_yet_but_not_a_stale_one() -> None:
    assert judge_liveness([pending()]).ok
    assert judge_liveness([pending()]).outcome is Outcome.WARN
    assert not judge_liveness([status(Outcome.UNKNOWN, name="loop")]).ok


def test_a_check_asked_for_by_name_counts_even_if_it_is_not_critical() -> None:
    assert not judge_selection([status(Outcome.FAIL, critical=False)]).ok


@pytest.mark.parametrize(
    ("phase", "ok"),
    [
        (Phase.STARTING, False),
        (Phase.RUNNING, True),
        (Phase.DRAINING, True),
        (Phase.HELD, True),
    ],
)
def test_startup_is_over_in_every_phase_but_the_first(phase: Phase, *, ok: bool) -> None:
    assert judge_startup(phase, Stage.DATABASE, ()).ok is ok
