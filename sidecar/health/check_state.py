"""What the monitor remembers of one check."""

import asyncio
from datetime import datetime
from typing import Final

from sidecar.health.check import Check
from sidecar.health.check_runner import CheckRunner
from sidecar.health.check_status import CheckStatus
from sidecar.health.hysteresis import Damped, step
from sidecar.health.outcome import CheckResult, Outcome


class CheckState:
    """A check, its answers so far, and the loop that asks it.

    Attributes:
        check: The question.
        runner: How it is asked.
        loop: The task that asks it, once there is one.
        reason: Stable code that goes with the outcome shown.
        detail: What is wrong and what to do, likewise.
        cause: Word of a closed set, likewise.
    """

    __slots__ = (
        "_damped",
        "_latest",
        "_measured_at",
        "_measured_mono",
        "cause",
        "check",
        "detail",
        "loop",
        "reason",
        "runner",
    )

    def __init__(self, check: Check) -> None:
        self.check: Final = check
        self.runner: Final = CheckRunner(check)
        self.loop: asyncio.Task[None] | None = None
        self.reason = f"{check.name}.pending"
        self.detail = self.cause = ""
        self._damped = Damped()
        self._latest: CheckResult | None = None
        self._measured_at: datetime | None = None
        self._measured_mono = 0.0

    @property
    def outcome(self) -> Outcome | None:
        """The damped outcome, whatever its age; `None` before the first answer."""
        return self._damped.outcome

    def take(self, result: CheckResult, *, now_mono: float, now: datetime) -> bool:
        """Take an answer in; return True when what is shown changed. `now` is aware UTC."""
        before = (self.outcome, self.reason, self.detail)
        self._damped = step(
            self._damped,
            result.outcome,
            fail_after=self.check.fail_after,
            recover_after=self.check.recover_after,
        )
        if self._damped.outcome is result.outcome:
            self.reason, self.detail, self.cause = result.reason, result.detail, result.cause
        self._latest, self._measured_at, self._measured_mono = result, now, now_mono
        return (self.outcome, self.reason, self.detail) != before

    def status(self, now_mono: float) -> CheckStatus:
        """Return where the check stands, its age taken into account."""
        outcome, latest = self.outcome, self._latest
        if outcome is None or latest is None:
            return CheckStatus(self.check, Outcome.UNKNOWN, self.reason)
        expires_mono = self._measured_mono + self.check.max_age_seconds
        is_stale = now_mono >= expires_mono
        return CheckStatus(
            check=self.check,
            outcome=Outcome.UNKNOWN if is_stale else outcome,
            reason=f"{self.check.name}.stale" if is_stale else self.reason,
            observed_value=latest.observed_value,
            observed_unit=latest.observed_unit,
            detail="" if is_stale else self.detail,
            cause="" if is_stale else self.cause,
            measured_at=self._measured_at,
            age_seconds=now_mono - self._measured_mono,
            expires_mono=float("inf") if is_stale else expires_mono,
        )
