"""What a check found."""

from dataclasses import dataclass
from enum import StrEnum

Observed = float | int | str | None


class Outcome(StrEnum):
    """The closed set of answers; `UNKNOWN` is never read as `PASS`."""

    PASS = "pass"  # noqa: S105 - the word of the health+json draft, not a password
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"

    @property
    def is_sound(self) -> bool:
        """Whether traffic may come in spite of it."""
        return self in {Outcome.PASS, Outcome.WARN}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One answer of one check.

    Attributes:
        outcome: The answer.
        reason: Stable code such as `postgres.unreachable`; empty on a pass. It is shown to
            callers, so it never holds the text of an exception.
        observed_value: What was measured, when it is a single value.
        observed_unit: Its unit, in UCUM spelling (`s`, `By`, `1`).
        detail: What is wrong and what to do, as sentences; shown to whom the guard admits, so it
            holds no secret and no text that others wrote.
        cause: Word of a closed set, fit for a metric label.
    """

    outcome: Outcome
    reason: str = ""
    observed_value: Observed = None
    observed_unit: str | None = None
    detail: str = ""
    cause: str = ""


def passed(observed_value: Observed = None, observed_unit: str | None = None) -> CheckResult:
    """All is well."""
    return CheckResult(Outcome.PASS, "", observed_value, observed_unit)


def warned(
    reason: str,
    observed_value: Observed = None,
    observed_unit: str | None = None,
    *,
    detail: str = "",
    cause: str = "",
) -> CheckResult:
    """Somebody should look, but traffic may come."""
    return CheckResult(Outcome.WARN, reason, observed_value, observed_unit, detail, cause)


def failed(
    reason: str,
    observed_value: Observed = None,
    observed_unit: str | None = None,
    *,
    detail: str = "",
    cause: str = "",
) -> CheckResult:
    """The answer is no; traffic stops when the check is critical and says so often enough."""
    return CheckResult(Outcome.FAIL, reason, observed_value, observed_unit, detail, cause)
