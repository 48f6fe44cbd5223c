import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import UsageError
from sidecar.health.check import Check, Probe
from sidecar.health.outcome import CheckResult, passed
from sidecar.health.registry import Checks


async def fine() -> CheckResult:
    return passed()


def test_liveness_refuses_a_check_that_may_leave_the_process() -> None:
    with pytest.raises(UsageError, match="outside this process"):
        Check(name="postgres", run=fine, probe=Probe.LIVENESS)


def test_the_liveness_decorator_refuses_it_too_and_registers_nothing() -> None:
    checks = Checks()

    with pytest.raises(UsageError, match="in_process=True"):
        checks.liveness("postgres")(fine)

    assert len(checks) == 0


@pytest.mark.parametrize("name", ["Payments", "order_queue", "", "-x", "x-", "a b", "a\n", "9x"])
def test_a_name_that_is_not_kebab_case_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="kebab case"):
        Check(name=name, run=fine)


@given(parts=st.lists(st.from_regex(r"[a-z][a-z0-9]*", fullmatch=True), min_size=1))
def test_every_kebab_case_name_is_taken(parts: list[str]) -> None:
    assert Check(name="-".join(parts), run=fine).name == "-".join(parts)


def test_times_that_cannot_work_are_refused() -> None:
    with pytest.raises(UsageError, match="above 0 seconds"):
        Check(name="x", run=fine, interval_seconds=0)
    with pytest.raises(UsageError, match="1 or more"):
        Check(name="x", run=fine, fail_after=0)
    with pytest.raises(UsageError, match=r"stale between two runs.*\(7 s\)"):
        Check(name="x", run=fine, interval_seconds=5, timeout_seconds=2, max_age_seconds=7)


def test_a_decorated_function_stays_itself_and_becomes_a_check() -> None:
    checks = Checks()

    @checks.readiness("payments", critical=False, groups=frozenset({"money"}))
    async def payments() -> CheckResult:
        return passed()

    (check,) = checks
    assert check.run is payments
    assert (check.name, check.critical, check.probe) == ("payments", False, Probe.READINESS)
    assert check.groups == {"money"}


def test_two_checks_cannot_share_a_name() -> None:
    checks = Checks()
    checks.readiness("payments")(fine)

    with pytest.raises(UsageError, match="Two checks are named 'payments'"):
        checks.liveness("payments", in_process=True)(fine)
