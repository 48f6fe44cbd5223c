from types import SimpleNamespace

import pytest

from sidecar.config.option import DrainReadiness
from sidecar.health.check import Check, Probe
from sidecar.health.monitor import Monitor
from sidecar.health.outcome import CheckResult, Outcome, failed, passed
from sidecar.health.phase import Phase
from sidecar.health.probe_answers import ANSWER_LIFE_SECONDS, ProbeAnswers


async def never_asked() -> CheckResult:
    return passed()


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(mono=0.0)


@pytest.fixture
def answers(clock: SimpleNamespace) -> ProbeAnswers:
    checks = [
        Check(name="loop", run=never_asked, probe=Probe.LIVENESS, in_process=True),
        Check(name="postgres", run=never_asked, fail_after=1),
        Check(name="disk", run=never_asked, fail_after=1, critical=False),
    ]
    monitor = Monitor(checks, clock=lambda: float(clock.mono))
    answers = ProbeAnswers(monitor, clock=lambda: float(clock.mono))
    answers.enter(Phase.RUNNING)
    return answers


def tell(answers: ProbeAnswers, **results: CheckResult) -> None:
    for name, result in results.items():
        answers.monitor._take(answers.monitor._states[name], result)


def test_readiness_follows_its_own_checks_only(answers: ProbeAnswers) -> None:
    tell(answers, loop=failed("loop.stuck"), postgres=passed(), disk=passed())

    assert answers.readiness().verdict.outcome is Outcome.PASS
    assert answers.liveness().verdict.reasons == ("loop.stuck",)
    assert not answers.liveness().verdict.ok


def test_an_answer_stays_the_same_object_until_something_changes(
    answers: ProbeAnswers, clock: SimpleNamespace
) -> None:
    tell(answers, postgres=passed(), disk=passed())
    first = answers.readiness()
    clock.mono = ANSWER_LIFE_SECONDS / 2
    tell(answers, postgres=passed(), disk=passed())
    assert answers.readiness() is first

    tell(answers, postgres=failed("postgres.unreachable"))
    second = answers.readiness()
    assert second.verdict.reasons == ("postgres.unreachable",)

    answers.enter(Phase.DRAINING)
    assert answers.readiness().phase is Phase.DRAINING


def test_observed_values_lag_at_most_the_life_of_an_answer(
    answers: ProbeAnswers, clock: SimpleNamespace
) -> None:
    tell(answers, postgres=passed(1), disk=passed())
    answers.readiness()
    tell(answers, postgres=passed(2))

    clock.mono = ANSWER_LIFE_SECONDS
    assert [status.observed_value for status in answers.readiness().statuses] == [2, None]


def test_an_answer_turns_stale_at_the_limit_and_not_a_moment_later(
    answers: ProbeAnswers, clock: SimpleNamespace
) -> None:
    tell(answers, postgres=passed(), disk=passed())
    clock.mono = 9.9
    assert answers.readiness().verdict.ok

    clock.mono = 10.0
    verdict = answers.readiness().verdict

    assert not verdict.ok
    assert verdict.reasons == ("disk.stale", "postgres.stale")


def test_nothing_is_ready_before_its_checks_have_answered(answers: ProbeAnswers) -> None:
    verdict = answers.readiness().verdict

    assert not verdict.ok
    assert verdict.reasons == ("disk.pending", "postgres.pending")


def test_a_draining_process_that_keeps_readiness_stays_ready() -> None:
    answers = ProbeAnswers(Monitor(), drain_readiness=DrainReadiness.KEEP)
    answers.enter(Phase.DRAINING)

    assert answers.readiness().verdict.ok
    assert answers.startup().verdict.ok


def test_a_new_process_is_starting() -> None:
    answers = ProbeAnswers(Monitor())

    assert answers.startup().verdict.reasons == ("process.starting", "startup.configuration")
    assert not answers.readiness().verdict.ok
    assert answers.liveness().verdict.ok


def test_a_selection_judges_the_named_checks_without_the_phase(answers: ProbeAnswers) -> None:
    tell(answers, postgres=passed(), disk=failed("disk.full"))
    answers.enter(Phase.DRAINING)

    assert answers.select(Probe.READINESS, only=["postgres"]).verdict.ok
    assert not answers.select(Probe.READINESS, only=["disk"]).verdict.ok


def test_an_exclusion_leaves_the_phase_in_and_names_what_it_does_not_know(
    answers: ProbeAnswers,
) -> None:
    tell(answers, postgres=failed("postgres.unreachable"), disk=passed())

    answer = answers.select(Probe.READINESS, exclude=["postgres", "nonsense"])
    assert answer.verdict.ok
    assert answer.unknown_names == ("nonsense",)

    answers.enter(Phase.DRAINING)
    assert not answers.select(Probe.READINESS, exclude=["postgres"]).verdict.ok
