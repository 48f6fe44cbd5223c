"""What an agent tells of the things in its process, made into a heartbeat."""

from collections.abc import Iterable, Sequence

from sidecar.events.publisher import SubscriberKind
from sidecar.events.tally import PublishTally, SubscriberTally
from sidecar.health.status import CheckStatus
from sidecar.process.heartbeat import MAX_DETAIL, CheckReport, PoolReport, SubscriberReport
from sidecar.telemetry.pool import PoolNumbers


def tell_pool(pool: PoolNumbers) -> PoolReport:
    """Return a pool as a heartbeat tells it."""
    return PoolReport(
        name=pool.name,
        used=pool.used,
        idle=pool.idle,
        max=pool.max,
        pending=pool.pending,
        timeouts=pool.timeouts,
        leaks=pool.leaks,
    )


def tell_statuses(statuses: Iterable[CheckStatus]) -> Sequence[CheckReport]:
    """Return checks as a heartbeat tells them."""
    return [
        CheckReport(
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
        for status in statuses
    ]


def tell_subscribers(tally: PublishTally, now_mono: float) -> Sequence[SubscriberReport]:
    """Return subscribers as a heartbeat tells them; those that failed last come first."""
    subscribers = [
        *_tell_each(SubscriberKind.PROJECTION, tally.projections, now_mono),
        *_tell_each(SubscriberKind.HANDLER, tally.handlers, now_mono),
    ]
    return sorted(subscribers, key=_by_failure)


def _tell_each(
    kind: SubscriberKind, tallies: dict[str, SubscriberTally], now_mono: float
) -> Iterable[SubscriberReport]:
    for name, own in tuple(tallies.items()):
        failed_mono = own.failures.last_mono
        yield SubscriberReport(
            kind=kind,
            name=name,
            handled=own.handled,
            failed=sum(own.failures.values()),
            error_type=own.failures.last_type,
            failed_seconds_ago=None if failed_mono is None else now_mono - failed_mono,
        )


def _by_failure(told: SubscriberReport) -> float:
    return float("inf") if told.failed_seconds_ago is None else told.failed_seconds_ago
