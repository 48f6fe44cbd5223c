"""What an agent tells of its process: one message, written there and read by the probe process.

It is read once, when it arrives, and with care: it comes from another process, perhaps of another
version or language. What is too much is left out before anything is made of it, and counted.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from sidecar.events.publisher import SubscriberKind
from sidecar.health.outcome import CheckResult, Outcome

MAX_HEARTBEAT_BYTES: Final = 256 * 1024
# The names are label values of metrics.
MAX_CHECKS: Final = 100
MAX_POOLS: Final = 20
MAX_SUBSCRIBERS: Final = 100
MAX_NAME_LENGTH: Final = 200
MAX_DETAIL: Final = 1000

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME_LENGTH)]


class PoolReport(msgspec.Struct, frozen=True):
    """One connection pool of another process."""

    name: Name
    used: int
    idle: int
    max: int
    pending: int
    timeouts: int
    leaks: int = 0


class CheckReport(msgspec.Struct, frozen=True):
    """One check that another process asks itself."""

    name: Name
    outcome: Outcome
    reason: Name = ""
    critical: bool = True
    measurement: Name = "status"
    groups: tuple[Name, ...] = ()
    observed_value: float | int | Name | None = None
    observed_unit: Name | None = None
    detail: str = ""

    @property
    def result(self) -> CheckResult:
        """The check's answer."""
        told = self.detail[:MAX_DETAIL]
        detail = told if told.isprintable() else ""
        return CheckResult(
            self.outcome, self.reason, self.observed_value, self.observed_unit, detail
        )


class SubscriberReport(msgspec.Struct, frozen=True):
    """One subscriber of a publisher, called in the process itself.

    Attributes:
        handled: Events, since the publisher was made.
        failed: Events that it raised at.
        error_type: Of the last failure; empty before the first.
        failed_seconds_ago: Age of the last failure; None before the first.
    """

    kind: SubscriberKind
    name: Name
    handled: int = 0
    failed: int = 0
    error_type: Name = ""
    failed_seconds_ago: float | None = None


class Heartbeat(msgspec.Struct, frozen=True):
    """What a process tells of itself.

    Attributes:
        agent: Names the agent apart from all others; empty where it has no name.
        process: `app`, `worker-1`.
        loop_lag_seconds: By how much the event loop was late at worst lately.
        telemetry_dropped: Spans and metric exports lost, since the start.
        troubles: How often the agent could not do something, by what.
        left_out: Checks, pools and subscribers that are not told, or not as they should be.
    """

    agent: str = ""
    process: str = ""
    pid: int = 0
    loop_lag_seconds: float = 0.0
    telemetry_dropped: int = 0
    pools: tuple[PoolReport, ...] = ()
    checks: tuple[CheckReport, ...] = ()
    subscribers: tuple[SubscriberReport, ...] = ()
    troubles: Mapping[str, int] = {}
    left_out: int = 0

    def silenced(self) -> "Heartbeat":
        """Return the same when what came after it could not be taken: no check is known now."""
        unheard = tuple(
            msgspec.structs.replace(check, outcome=Outcome.UNKNOWN, reason=f"{check.name}.unheard")
            for check in self.checks
        )
        return msgspec.structs.replace(self, checks=unheard, left_out=max(1, self.left_out))


T = TypeVar("T")


def parse_heartbeat(told: Mapping[str, object]) -> Heartbeat:
    """Return the parts that are as ours are, without the rest."""
    pools, more_pools = _take_list(told.get("pools"), PoolReport, MAX_POOLS)
    checks, more_checks = _take_list(told.get("checks"), CheckReport, MAX_CHECKS)
    subscribers, more = _take_list(told.get("subscribers"), SubscriberReport, MAX_SUBSCRIBERS)
    left_out = _take(told.get("left_out"), int, 0)
    return Heartbeat(
        agent=_take(told.get("agent"), Name, ""),
        process=_take(told.get("process"), Name, ""),
        pid=_take(told.get("pid"), int, 0),
        loop_lag_seconds=_take(told.get("loop_lag_seconds"), float, 0.0),
        telemetry_dropped=_take(told.get("telemetry_dropped"), int, 0),
        pools=pools,
        checks=checks,
        subscribers=subscribers,
        troubles=_take(told.get("troubles"), dict[str, int], {}),
        left_out=left_out + more_pools + more_checks + more,
    )


def at_most(limit: int, told: Sequence[T]) -> tuple[tuple[T, ...], int]:
    """Return what may be told, and how many are left out."""
    return tuple(told[:limit]), max(0, len(told) - limit)


def _take_list(told: object, kind: type[T], limit: int) -> tuple[tuple[T, ...], int]:
    """Convert the first ones, each by itself; return those, and how many are left out."""
    if not isinstance(told, list | tuple):
        return (), 0
    items = [_take(item, kind, None) for item in told[:limit]]
    taken = tuple(item for item in items if item is not None)
    return taken, len(told) - len(taken)


def _take(told: object, kind: Any, otherwise: Any) -> Any:  # noqa: ANN401 - any type of msgspec's
    if told is None:
        return otherwise
    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError:
        return otherwise
