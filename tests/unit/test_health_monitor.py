import asyncio
import logging
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from sidecar.errors import UsageError
from sidecar.health.check import Check
from sidecar.health.monitor import Monitor
from sidecar.health.outcome import CheckResult, Outcome, failed, passed
from tests.beside import beside
from tests.unit.health_stage import Script, quick, turn, until

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(mono=100.0)


@pytest.fixture
def monitor(clock: SimpleNamespace) -> Monitor:
    return Monitor(clock=lambda: float(clock.mono), now=lambda: NOW)


async def test_a_check_is_unknown_before_its_first_answer_and_known_after(
    monitor: Monitor,
) -> None:
    monitor.add(quick("postgres", Script(passed(3.5, "ms"))))
    (before,) = monitor.snapshot(100.0)
    assert (before.outcome, before.reason) == (Outcome.UNKNOWN, "postgres.pending")
    assert before.is_pending

    async with beside(monitor.run()):
        await turn(monitor, "postgres", Outcome.PASS)

    (after,) = monitor.snapshot(101.5)
    assert (after.outcome, after.reason, after.age_seconds) == (Outcome.PASS, "", 1.5)
    assert (after.observed_value, after.observed_unit, after.measured_at) == (3.5, "ms", NOW)


async def test_an_answer_older_than_its_limit_is_unknown(monitor: Monitor) -> None:
    monitor.add(quick("postgres", Script(passed())))
    async with beside(monitor.run()):
        await turn(monitor, "postgres", Outcome.PASS)

    (fresh,) = monitor.snapshot(109.9)
    (stale,) = monitor.snapshot(110.0)

    assert fresh.outcome is Outcome.PASS
    assert (stale.outcome, stale.reason) == (Outcome.UNKNOWN, "postgres.stale")


async def test_a_change_is_logged_and_counted_once(
    monitor: Monitor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    down = failed("postgres.unreachable")
    script = Script(passed(), down, down, down, down, passed())
    monitor.add(quick("postgres", script))

    async with beside(monitor.run()):
        await until(lambda: script.runs > 10)

    assert monitor.transitions == {
        ("postgres", Outcome.PASS): 2,
        ("postgres", Outcome.FAIL): 1,
    }
    told = [vars(r) for r in caplog.records if vars(r).get("event") == "sidecar.check.changed"]
    assert [(r["check"], r["args"][1], r["status"], r["reason"]) for r in told] == [
        ("postgres", "unknown", "pass", ""),
        ("postgres", "pass", "fail", "postgres.unreachable"),
        ("postgres", "fail", "pass", ""),
    ]


async def test_a_hanging_and_a_raising_check_leave_the_others_alone(
    monitor: Monitor,
) -> None:
    async def hang() -> CheckResult:
        await asyncio.Event().wait()
        return passed()

    async def fall() -> CheckResult:
        raise RuntimeError("boom")

    fine = Script(passed())
    monitor.add(quick("hanging", hang, timeout_seconds=0.02))
    monitor.add(quick("raising", fall))
    monitor.add(quick("fine", fine))

    async with beside(monitor.run()):
        await turn(monitor, "hanging", Outcome.FAIL)
        await turn(monitor, "raising", Outcome.FAIL)
        runs = fine.runs
        await until(lambda: fine.runs > runs + 2)

    reasons = {status.name: status.reason for status in monitor.snapshot(100.0)}
    assert reasons == {"hanging": "hanging.timeout", "raising": "raising.error", "fine": ""}


async def kill_loop(monitor: Monitor, check: str) -> None:
    """Cancel a check's loop, and wait until it was started again."""
    loop = monitor._states[check].loop
    assert loop is not None
    loop.cancel()
    await until(lambda: monitor.loop_restarts == 1)


async def test_a_loop_that_is_killed_is_started_again_and_counted(monitor: Monitor) -> None:
    script = Script(passed())
    monitor.add(quick("postgres", script))

    async with beside(monitor.run()):
        await until(lambda: script.runs > 0)
        await kill_loop(monitor, "postgres")
        runs = script.runs
        await until(lambda: script.runs > runs)


async def test_a_monitor_that_was_stopped_can_run_again(monitor: Monitor) -> None:
    script = Script(passed())
    monitor.add(quick("postgres", script))
    async with beside(monitor.run()):
        await until(lambda: script.runs > 0)
    runs = script.runs

    async with beside(monitor.run()):
        await until(lambda: script.runs > runs)

    assert monitor.loop_restarts == 0


async def test_a_monitor_that_runs_again_asks_each_check_in_one_loop_only(monitor: Monitor) -> None:
    script = Script(passed())
    monitor.add(quick("postgres", script))
    async with beside(monitor.run()):
        await until(lambda: script.runs > 0)
        await kill_loop(monitor, "postgres")

    async with beside(monitor.run()):
        runs = script.runs
        await until(lambda: script.runs > runs + 5)
        assert [t.get_name() for t in asyncio.all_tasks()].count("ask postgres") == 1


async def test_stopping_leaves_no_task_behind(monitor: Monitor) -> None:
    started = asyncio.Event()

    async def hang() -> CheckResult:
        started.set()
        await asyncio.Event().wait()
        return passed()

    monitor.add(Check(name="hanging", run=hang))
    async with beside(monitor.run()):
        await started.wait()

    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_checks_come_and_go_while_it_runs(monitor: Monitor) -> None:
    script = Script(passed())
    async with beside(monitor.run()):
        await asyncio.sleep(0)
        monitor.add(quick("orders", script))
        await turn(monitor, "orders", Outcome.PASS)

        monitor.discard("orders")
        monitor.discard("orders")
        runs = script.runs
        for _ in range(50):
            await asyncio.sleep(0)

    assert monitor.snapshot(100.0) == ()
    assert script.runs <= runs + 1
    assert monitor.loop_restarts == 0


async def test_a_check_added_again_under_its_name_starts_afresh(monitor: Monitor) -> None:
    async with beside(monitor.run()):
        await asyncio.sleep(0)
        monitor.add(quick("orders", Script(failed("orders.stopped"))))
        await turn(monitor, "orders", Outcome.FAIL)
        monitor.discard("orders")
        monitor.add(quick("orders", Script(passed())))
        await turn(monitor, "orders", Outcome.PASS)

    assert monitor.loop_restarts == 0


def test_two_checks_cannot_share_a_name(monitor: Monitor) -> None:
    monitor.add(quick("orders", Script(passed())))

    with pytest.raises(UsageError, match="Two checks are named 'orders'"):
        monitor.add(quick("orders", Script(passed())))


async def test_revision_grows_with_changes_only(monitor: Monitor) -> None:
    script = Script(passed())
    monitor.add(quick("orders", script))
    async with beside(monitor.run()):
        await turn(monitor, "orders", Outcome.PASS)
        revision = monitor.revision
        runs = script.runs
        await until(lambda: script.runs > runs + 3)
        assert monitor.revision == revision
