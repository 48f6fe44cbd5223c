from collections.abc import Callable

import pytest

from sidecar.health.check import Check
from sidecar.health.monitor import Monitor
from sidecar.health.outcome import CheckResult, Outcome, failed, passed, warned
from sidecar.health.phase import Phase, Stage
from sidecar.health.probe_answers import ProbeAnswers
from sidecar.health.registry import Checks
from sidecar.testing import ask
from sidecar.wiring.checks.dynamic import DynamicChecks


async def never_asked() -> CheckResult:
    return passed()


def check(name: str, *groups: str, critical: bool = True) -> Check:
    return Check(name=name, run=never_asked, groups=frozenset(groups), critical=critical)


@pytest.fixture
def monitor() -> Monitor:
    checks = (
        check("postgres", "database"),
        check("card", "money", critical=False),
        check("cash", "money"),
    )
    return Monitor(checks, clock=lambda: 0.0)


@pytest.fixture
def tell(monitor: Monitor) -> Callable[..., None]:
    def put(**results: CheckResult) -> None:
        for name, result in results.items():
            monitor._take(monitor._states[name], result)

    return put


@pytest.fixture
def answers(monitor: Monitor) -> ProbeAnswers:
    return ProbeAnswers(monitor, clock=lambda: 0.0)


def test_a_group_is_judged_alone_and_each_of_its_checks_counts(
    answers: ProbeAnswers, tell: Callable[..., None]
) -> None:
    tell(postgres=failed("postgres.unreachable"), card=failed("card.refused"), cash=passed())
    answer = answers.select(check("x").probe, groups=["money"])
    assert [status.name for status in answer.statuses] == ["card", "cash"]
    assert answer.verdict.reasons == ("card.refused",)
    assert not answer.verdict.ok


def test_names_and_groups_add_up_and_exclusions_take_away(answers: ProbeAnswers) -> None:
    answer = answers.select(
        check("x").probe, only=["postgres"], groups=["money"], exclude=["cash", "coin"]
    )
    assert [status.name for status in answer.statuses] == ["postgres", "card"]
    assert answer.unknown_names == ("coin",)


def test_a_group_that_no_check_is_in_is_named(answers: ProbeAnswers) -> None:
    assert answers.select(check("x").probe, groups=["mony"]).unknown_groups == ("mony",)


def test_start_up_tells_what_it_is_busy_with_and_which_checks_it_waits_for(
    answers: ProbeAnswers, tell: Callable[..., None]
) -> None:
    answers.begin(Stage.DATABASE)
    assert answers.startup().verdict.reasons == ("process.starting", "startup.database")
    answers.enter(Phase.RUNNING)
    assert answers.startup().verdict.reasons == ("cash.pending", "postgres.pending")
    tell(cash=passed())
    assert answers.startup().verdict.reasons == ("postgres.pending",)


def test_an_outage_is_no_boot_that_hangs(answers: ProbeAnswers, tell: Callable[..., None]) -> None:
    answers.enter(Phase.RUNNING)
    tell(cash=passed(), postgres=failed("postgres.unreachable"))
    assert answers.startup().verdict.ok
    assert not answers.readiness().verdict.ok


def test_a_check_that_comes_later_does_not_take_back_that_boot_is_over(
    answers: ProbeAnswers, monitor: Monitor, tell: Callable[..., None]
) -> None:
    answers.enter(Phase.RUNNING)
    tell(cash=passed(), postgres=passed())
    assert answers.startup().verdict.ok
    monitor.add(check("late"))
    assert answers.startup().verdict.ok
    assert not answers.readiness().verdict.ok


def test_a_check_that_cannot_be_added_takes_no_other_with_it(
    monitor: Monitor, caplog: pytest.LogCaptureFixture
) -> None:
    dynamic = DynamicChecks(monitor)
    wanted = {name: lambda name=name: check(name) for name in ("cash", "Not Kebab", "tax")}
    for _ in range(2):
        dynamic.update(wanted)
    names = [status.name for status in monitor.snapshot(0.0)]
    assert names == ["postgres", "card", "cash", "tax"]
    assert len(caplog.records) == 2
    dynamic.update({})
    assert [status.name for status in monitor.snapshot(0.0)] == ["postgres", "card", "cash"]


async def test_a_service_asks_its_checks_as_the_monitor_does() -> None:
    checks = Checks()

    @checks.readiness("payments", critical=False)
    async def payments() -> CheckResult:
        return warned("payments.slow", 0.7, "s")

    @checks.readiness("stock")
    async def stock() -> CheckResult:
        raise LookupError

    assert await ask(checks["payments"]) == warned("payments.slow", 0.7, "s")
    assert await ask(checks["stock"]) == CheckResult(Outcome.FAIL, "stock.error")
