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
        loop: The task that asks it, once there is one.
        shown: The damped answer, whatever its age; unknown before the first.
    """

    def __init__(self, check: Check) -> None:
        self.check: Final = check
        self.runner: Final = CheckRunner(check)
        self.loop: asyncio.Task[None] | None = None
        self.shown = CheckResult(Outcome.UNKNOWN, f"{check.name}.pending")
        self._damped = Damped()
        self._latest: CheckResult | None = None
        self._measured_at: datetime | None = None
        self._measured_mono = 0.0

    def take(self, result: CheckResult, *, now_mono: float, now: datetime) -> bool:
        """Take an answer in; return True when what is shown changed. `now` is aware UTC."""
        before, is_first = self.shown, self._latest is None
        self._damped = step(
            self._damped,
            result.outcome,
            fail_after=self.check.fail_after,
            recover_after=self.check.recover_after,
        )
        if self._damped.outcome is result.outcome:
            self.shown = result
        self._latest, self._measured_at, self._measured_mono = result, now, now_mono
        return is_first or _told(self.shown) != _told(before)

    def status(self, now_mono: float) -> CheckStatus:
        """Return where the check stands, its age taken into account."""
        shown, latest = self.shown, self._latest
        if latest is None:
            return CheckStatus(shown.outcome, shown.reason, check=self.check)
        expires_mono = self._measured_mono + self.check.max_age_seconds
        if now_mono >= expires_mono:
            shown = CheckResult(Outcome.UNKNOWN, f"{self.check.name}.stale")
            expires_mono = float("inf")
        return CheckStatus(
            shown.outcome,
            shown.reason,
            latest.observed_value,
            latest.observed_unit,
            shown.detail,
            shown.cause,
            check=self.check,
            measured_at=self._measured_at,
            age_seconds=now_mono - self._measured_mono,
            expires_mono=expires_mono,
        )


def _told(result: CheckResult) -> tuple[Outcome, str, str]:
    return result.outcome, result.reason, result.detail
