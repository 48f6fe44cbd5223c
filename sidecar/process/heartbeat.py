"""What an agent reports of its process: one message, written and read by the same types.

It is read once, when it arrives, and with care: it comes from another process, perhaps of another
version or language. What is too much is left out before anything is made of it, and counted; a
field that this version does not know is ignored, one that is missing has its default.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from sidecar.events.subscriber import SubscriberKind
from sidecar.events.tally import PublishTally, SubscriberTally
from sidecar.health.check_status import CheckStatus
from sidecar.health.outcome import CheckResult, Outcome
from sidecar.lint.finding import Violation
from sidecar.projections.interruption import Interruption

MAX_HEARTBEAT_BYTES: Final = 256 * 1024
# The names are label values of metrics.
MAX_CHECKS: Final = 100
MAX_SUBSCRIBERS: Final = 100
MAX_LOOPS: Final = 10_000
MAX_FINDINGS: Final = 1000
MAX_NAME_LENGTH: Final = 200
MAX_DETAIL: Final = 1000

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME_LENGTH)]


class CheckReport(msgspec.Struct, frozen=True):
    """One check of the application, run by its own process."""

    name: Name
    outcome: Outcome
    reason: Name = ""
    critical: bool = True
    measurement: Name = "status"
    groups: tuple[Name, ...] = ()
    observed_value: float | int | Name | None = None
    observed_unit: Name | None = None
    detail: str = ""

    @classmethod
    def of(cls, status: CheckStatus) -> "CheckReport":
        """Return a check as its process reports it."""
        return cls(
            name=status.name,
            outcome=status.outcome,
            reason=status.reason,
            critical=status.check.critical,
            measurement=status.check.measurement,
            groups=tuple(sorted(status.check.groups)),
            observed_value=status.observed_value,
            observed_unit=status.observed_unit,
            detail=status.detail[:MAX_DETAIL],
        )

    @property
    def result(self) -> CheckResult:
        """The check's answer."""
        text = self.detail[:MAX_DETAIL]
        detail = text if text.isprintable() else ""
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


class LoopReport(msgspec.Struct, frozen=True):
    """One loop of a worker: a copy of one partition of a projection.

    Attributes:
        copy: `live` or `rebuild`.
        heartbeat_age_seconds: Since the loop last turned; None before its first turn.
        interruption: What keeps it from coming on, though it ends by itself; None for nothing.
    """

    projection: str
    index: int = 0
    copy: str = "live"
    heartbeat_age_seconds: float | None = None
    interruption: Interruption | None = None


class Heartbeat(msgspec.Struct, frozen=True):
    """What a process reports of itself; the last four fields are a worker's.

    Attributes:
        agent: Names the agent apart from all others; empty where it has no name.
        process: `app`, `worker-1`.
        loop_lag_seconds: By how much the event loop was late at worst lately.
        telemetry_dropped: Spans and metric exports lost, since the start.
        troubles: How often the agent could not do something, by what.
        schema: Where an application's store has the sidecar's tables; empty without a store.
        left_out: Checks, subscribers and loops that are not in it, or were not as they should be.
        projections: The loops that it runs.
        setups: Age in seconds of each projection's setup that is not over.
        refused: Why it must not run a projection, which others may run, by name.
        violations: What it found in its projections' types and handlers at its start.
    """

    agent: Name = ""
    process: Name = ""
    pid: int = 0
    loop_lag_seconds: float = 0.0
    telemetry_dropped: int = 0
    checks: tuple[CheckReport, ...] = ()
    subscribers: tuple[SubscriberReport, ...] = ()
    troubles: Mapping[str, int] = {}
    schema: Name = ""
    left_out: int = 0
    projections: tuple[LoopReport, ...] = ()
    setups: Mapping[str, float] = {}
    refused: Mapping[str, str] = {}
    violations: tuple[Violation, ...] = ()

    def silenced(self) -> "Heartbeat":
        """Return the same when its successor could not be read: the checks' results are unknown."""
        unheard = tuple(
            msgspec.structs.replace(check, outcome=Outcome.UNKNOWN, reason=f"{check.name}.unheard")
            for check in self.checks
        )
        return msgspec.structs.replace(self, checks=unheard, left_out=max(1, self.left_out))


T = TypeVar("T")

_LISTS: Final[Mapping[str, tuple[type[Any], int]]] = {
    "checks": (CheckReport, MAX_CHECKS),
    "subscribers": (SubscriberReport, MAX_SUBSCRIBERS),
    "projections": (LoopReport, MAX_LOOPS),
    "violations": (Violation, MAX_FINDINGS),
}
"""What is converted one by one, and how many at most."""


def parse_heartbeat(fields: Mapping[str, object]) -> Heartbeat:
    """Return the parts that are as ours are, without the rest."""
    parsed: dict[str, Any] = {"left_out": 0}
    left_out = 0
    for field in msgspec.structs.fields(Heartbeat):
        value = fields.get(field.name)
        if field.name in _LISTS:
            parsed[field.name], more = _take_list(value, *_LISTS[field.name])
            left_out += more
        elif (taken := _take(value, field.type)) is not None:
            parsed[field.name] = taken
    parsed["left_out"] += left_out
    return Heartbeat(**parsed)


def report_subscribers(tally: PublishTally, now_mono: float) -> list[SubscriberReport]:
    """Return a publisher's subscribers as a process reports them; the last to fail come first."""
    kinds = (SubscriberKind.PROJECTION, tally.projections), (SubscriberKind.HANDLER, tally.handlers)
    reports = [
        _report(kind, name, one, now_mono)
        for kind, tallies in kinds
        for name, one in tuple(tallies.items())
    ]
    return sorted(reports, key=_failed_ago)


def at_most(limit: int, items: Sequence[T]) -> tuple[tuple[T, ...], int]:
    """Return what may be reported, and how many are left out."""
    return tuple(items[:limit]), max(0, len(items) - limit)


def _report(
    kind: SubscriberKind, name: str, tally: SubscriberTally, now_mono: float
) -> SubscriberReport:
    failed_mono = tally.failures.last_mono
    return SubscriberReport(
        kind,
        name,
        tally.handled,
        sum(tally.failures.values()),
        tally.failures.last_type,
        None if failed_mono is None else now_mono - failed_mono,
    )


def _failed_ago(report: SubscriberReport) -> float:
    return float("inf") if report.failed_seconds_ago is None else report.failed_seconds_ago


def _take_list(items: object, kind: type[T], limit: int) -> tuple[tuple[T, ...], int]:
    """Convert the first ones, each by itself; return those, and how many are left out."""
    if not isinstance(items, list | tuple):
        return (), 0
    converted = [_take(item, kind) for item in items[:limit]]
    taken = tuple(item for item in converted if item is not None)
    return taken, len(items) - len(taken)


def _take(value: object, kind: Any) -> Any:  # noqa: ANN401 - any type of msgspec's
    """Return a value as a type has it, None where it is none."""
    try:
        return None if value is None else msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
