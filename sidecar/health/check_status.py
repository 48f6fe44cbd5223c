"""Where one check stands now, as verdicts, documents and metrics see it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sidecar.health.check import Check
from sidecar.health.outcome import Observed, Outcome


@dataclass(frozen=True, slots=True)
class CheckStatus:
    """A check's damped outcome with its age taken into account.

    Attributes:
        check: The question.
        outcome: The damped answer; unknown before the first one and once it is too old.
        reason: Stable code; empty on a pass, `<name>.pending` before the first answer,
            `<name>.stale` once too old.
        observed_value: The last value measured, also while the outcome is held back.
        observed_unit: Its unit.
        detail: What is wrong and what to do, as sentences.
        cause: Word of a closed set, fit for a metric label; empty where none is known.
        measured_at: Aware UTC time of the last answer.
        age_seconds: Time since the last answer.
        expires_mono: Monotonic time from which the answer is unknown; infinite where it is already.
    """

    check: Check
    outcome: Outcome
    reason: str
    observed_value: Observed = None
    observed_unit: str | None = None
    detail: str = ""
    cause: str = ""
    measured_at: datetime | None = None
    age_seconds: float | None = None
    expires_mono: float = float("inf")

    @property
    def name(self) -> str:
        """The check's name."""
        return self.check.name

    def is_in(self, groups: Collection[str]) -> bool:
        """Return True when the check is in one of these groups."""
        return not self.check.groups.isdisjoint(groups)

    @property
    def is_pending(self) -> bool:
        """Whether no run has ended yet."""
        return self.measured_at is None
