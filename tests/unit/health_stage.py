"""What tests of the monitor play with: checks that follow a script, and an ear for changes."""

import asyncio
from collections.abc import Callable

from sidecar.health.check import Check, Run
from sidecar.health.monitor import Monitor
from sidecar.health.outcome import CheckResult, Outcome


class Script:
    """A check that gives one answer after another and repeats the last."""

    def __init__(self, *answers: CheckResult) -> None:
        self.answers = list(answers)
        self.runs = 0

    async def __call__(self) -> CheckResult:
        self.runs += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def turn(monitor: Monitor, check: str, outcome: Outcome) -> None:
    """Wait until a check of a running monitor has arrived at an outcome."""
    await until(lambda: monitor.transitions[check, outcome] > 0)


def quick(name: str, run: Run, *, timeout_seconds: float = 5.0) -> Check:
    return Check(name=name, run=run, interval_seconds=0.001, timeout_seconds=timeout_seconds)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            await asyncio.sleep(0)
            if condition():
                return
