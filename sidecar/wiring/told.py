"""What agents tell in their heartbeats, read with care: it comes from another process."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from sidecar.health.outcome import CheckResult, Outcome
from sidecar.health.status import CheckStatus
from sidecar.telemetry.pool import PoolNumbers

# Each is a label value of a metric.
MAX_CHECKS: Final = 100
MAX_DETAIL: Final = 1000


class PoolTold(msgspec.Struct, frozen=True):
    """One connection pool of another process."""

    name: str
    used: int
    idle: int
    max: int
    pending: int
    timeouts: int
    leaks: int = 0


class CheckTold(msgspec.Struct, frozen=True):
    """One check that another process asks itself."""

    name: str
    outcome: Outcome
    reason: str = ""
    critical: bool = True
    measurement: str = "status"
    groups: tuple[str, ...] = ()
    observed_value: float | int | str | None = None
    observed_unit: str | None = None
    detail: str = ""

    @property
    def result(self) -> CheckResult:
        """The check's answer."""
        told = self.detail[:MAX_DETAIL]
        detail = told if told.isprintable() else ""
        return CheckResult(
            self.outcome, self.reason, self.observed_value, self.observed_unit, detail
        )


class _Told(msgspec.Struct, frozen=True):
    pools: tuple[PoolTold, ...] = ()
    checks: tuple[CheckTold, ...] = ()


def show_pool(pool: PoolNumbers) -> dict[str, Any]:
    """Return a pool as a heartbeat tells it."""
    return {
        "name": pool.name,
        "used": pool.used,
        "idle": pool.idle,
        "max": pool.max,
        "pending": pool.pending,
        "timeouts": pool.timeouts,
        "leaks": pool.leaks,
    }


def show_statuses(statuses: Sequence[CheckStatus]) -> list[dict[str, Any]]:
    """Return checks as a heartbeat tells them."""
    return [
        {
            "name": status.name,
            "outcome": status.outcome.value,
            "reason": status.reason,
            "critical": status.check.critical,
            "measurement": status.check.measurement,
            "groups": sorted(status.check.groups),
            "observed_value": status.observed_value,
            "observed_unit": status.observed_unit,
            "detail": status.detail,
        }
        for status in statuses
    ]


def pools_told(heartbeat: Mapping[str, object]) -> dict[str, PoolTold]:
    """Return the pools by name; none where the heartbeat is not as ours are."""
    return {pool.name: pool for pool in _read(heartbeat).pools}


def checks_told(heartbeat: Mapping[str, object]) -> dict[str, CheckTold]:
    """Return the checks by name; none where the heartbeat is not as ours are."""
    return {check.name: check for check in _read(heartbeat).checks[:MAX_CHECKS]}


def loop_lag_told(heartbeat: Mapping[str, object]) -> float:
    """Return by how much a process's event loop was late at worst lately; 0.0 where not told."""
    lag = heartbeat.get("loop_lag_seconds")
    return float(lag) if isinstance(lag, int | float) else 0.0


def losses_told(heartbeat: Mapping[str, object]) -> int:
    """Return how many spans and metric exports a process lost since its start; 0 where not told."""
    losses = heartbeat.get("telemetry_dropped")
    return losses if isinstance(losses, int) else 0


def _read(heartbeat: Mapping[str, object]) -> _Told:
    try:
        return msgspec.convert(heartbeat, _Told)
    except msgspec.ValidationError:
        return _Told()
