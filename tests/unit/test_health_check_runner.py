import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

from sidecar.health.check import Check, Run
from sidecar.health.check_runner import CheckRunner
from sidecar.health.outcome import CheckResult, Outcome, failed, passed

SHORT_SECONDS = 0.02


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Ends every thread that waits for it, even when a test fails."""
    event = threading.Event()
    yield event
    event.set()


def runner(run: Run, *, timeout_seconds: float = 5.0) -> CheckRunner:
    return CheckRunner(
        Check(name="payments", run=run, timeout_seconds=timeout_seconds, max_age_seconds=60)
    )


async def first_in_time(asked: CheckRunner) -> CheckResult:
    """Ask until an answer comes within the short timeout, which a busy machine may miss."""
    async with asyncio.timeout(10):
        while True:
            await asyncio.sleep(0)
            answer = await asked.ask()
            if answer.reason != "payments.timeout":
                return answer


async def test_an_answer_is_returned_as_given() -> None:
    async def run() -> CheckResult:
        return failed("payments.refused", 3, "1")

    assert await runner(run).ask() == failed("payments.refused", 3, "1")


async def test_a_check_that_raises_fails_with_a_code_and_its_text_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> CheckResult:
        raise OSError("text of the driver")

    asked = runner(run)
    first, second = await asked.ask(), await asked.ask()

    assert first == second == failed("payments.error")
    assert caplog.text.count("OSError: text of the driver") == 1
    (record,) = caplog.records
    assert vars(record)["event"] == "sidecar.check.raised"


@pytest.mark.parametrize("rubbish", [None, True, "text", Outcome.PASS, object()])
async def test_anything_but_a_result_is_a_failure(rubbish: object) -> None:
    async def run() -> Any:
        return rubbish

    assert await runner(run).ask() == failed("payments.invalid")


async def test_a_hanging_check_fails_within_its_timeout() -> None:
    async def run() -> CheckResult:
        await asyncio.Event().wait()
        return passed()

    assert await runner(run, timeout_seconds=SHORT_SECONDS).ask() == failed("payments.timeout")


async def test_a_check_that_resists_cancellation_is_left_behind_and_not_started_again() -> None:
    runs = 0
    may_end = asyncio.Event()

    async def run() -> CheckResult:
        nonlocal runs
        runs += 1
        while not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await may_end.wait()
        return passed()

    asked = runner(run, timeout_seconds=SHORT_SECONDS)
    assert await asked.ask() == failed("payments.timeout")
    assert await asked.ask() == failed("payments.timeout")
    assert runs == 1

    may_end.set()
    assert await first_in_time(asked) == passed()


async def test_a_blocking_check_runs_in_a_thread_and_is_not_started_twice(
    release: threading.Event,
) -> None:
    threads: list[str] = []

    def run() -> CheckResult:
        threads.append(threading.current_thread().name)
        release.wait()
        return passed()

    asked = runner(run, timeout_seconds=SHORT_SECONDS)
    assert await asked.ask() == failed("payments.timeout")
    assert await asked.ask() == failed("payments.timeout")
    assert threads == ["check-payments"]

    release.set()
    assert await first_in_time(asked) == passed()


async def test_a_blocking_check_that_raises_fails(caplog: pytest.LogCaptureFixture) -> None:
    def run() -> CheckResult:
        raise ValueError("from the thread")

    with caplog.at_level(logging.WARNING):
        assert await runner(run).ask() == failed("payments.error")
    assert "from the thread" in caplog.text


async def test_callables_of_every_shape_are_understood() -> None:
    class Gateway:
        async def __call__(self) -> CheckResult:
            return passed(threading.current_thread() is threading.main_thread())

    async def answer(value: int) -> CheckResult:
        return passed(value)

    assert await runner(Gateway()).ask() == passed(observed_value=True)
    assert await runner(lambda: answer(1)).ask() == passed(1)
    assert await runner(lambda: passed(2)).ask() == passed(2)


async def test_cancelling_the_asker_cancels_the_run() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def run() -> CheckResult:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return passed()

    asking = asyncio.create_task(runner(run).ask())
    await started.wait()
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
    await ended.wait()


async def test_a_check_that_cancels_itself_is_only_a_failed_check() -> None:
    async def run() -> CheckResult:
        cast("asyncio.Task[None]", asyncio.current_task()).cancel()
        await asyncio.Event().wait()
        return passed()

    assert await runner(run).ask() == failed("payments.timeout")
