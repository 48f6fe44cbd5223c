"""Where one check stands now, as verdicts, documents and metrics see it."""

from dataclasses import dataclass
from datetime import datetime

from sidecar.health.check import Check
from sidecar.health.outcome import CheckResult


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStatus(CheckResult):
    """A check's damped answer: unknown before the first one and once it is too old.

    The reason is then `<name>.pending` or `<name>.stale`; what was observed is always the last
    value measured, also while the outcome is held back.

    Attributes:
        measured_at: Aware UTC time of the last answer.
        age_seconds: Time since the last answer.
        expires_mono: Monotonic time from which the answer is unknown; infinite where it is already.
    """

    check: Check
    measured_at: datetime | None = None
    age_seconds: float | None = None
    expires_mono: float = float("inf")

    @property
    def name(self) -> str:
        """The check's name."""
        return self.check.name

    @property
    def is_pending(self) -> bool:
        """Whether no run has ended yet."""
        return self.measured_at is None
