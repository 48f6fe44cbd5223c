"""What is known of a read model by comparing it with a replay of the log. Pure."""

import datetime as dt
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class VerificationStatus:
    """How the verifications of one projection stand.

    Attributes:
        is_running: One is under way.
        failure: Why the last one came to no end; None when it did, or none has ended.
        verified_at: Aware wall time at which the last one that compared all of it ended; None when
            there is none since the read model was made.
        position: The highest one at which it compared.
        drift_rows: Rows that were not as the log has them.
    """

    is_running: bool = False
    failure: str | None = None
    verified_at: dt.datetime | None = None
    position: int = 0
    drift_rows: int = 0


UNVERIFIED: Final = VerificationStatus()

_UNITS: Final = (
    (dt.timedelta(days=1), "d"),
    (dt.timedelta(hours=1), "h"),
    (dt.timedelta(minutes=1), "min"),
)


def describe_drift(name: str, status: VerificationStatus) -> str:
    """Say that a read model is wrong and what to do; empty while that is not known."""
    if status.verified_at is None or not status.drift_rows:
        return ""
    wrong = (
        "1 row is not as the log has it"
        if status.drift_rows == 1
        else f"{status.drift_rows} rows are not as the log has them"
    )
    return (
        f"{wrong}, verified at position {status.position}: `sidecar "
        f"projections verify {name}` shows which, `sidecar projections rebuild {name}` puts them "
        "right"
    )


def describe_verification(
    status: VerificationStatus, now: dt.datetime, code_changed_at: dt.datetime | None = None
) -> str:
    """Say in a few words when a read model was verified and what was found.

    Times are aware; other code has run it since the last of them.
    """
    if status.verified_at is None:
        return "not yet" if status.failure is None else f"could not be: {status.failure}"
    found = f"{status.drift_rows} rows differ" if status.drift_rows else "no difference"
    is_changed = code_changed_at is not None and code_changed_at > status.verified_at
    since = "; its code changed since" if is_changed else ""
    return f"{_ago(now - status.verified_at)} ago at {status.position}, {found}{since}"


def _ago(age: dt.timedelta) -> str:
    for unit, name in _UNITS:
        if age >= 2 * unit:
            return f"{age // unit} {name}"
    return "1 min"
