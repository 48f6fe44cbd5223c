"""Connection pools, by the names of the semantic conventions."""

import math
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

from opentelemetry.metrics import Histogram

from sidecar.telemetry import attribute, metric
from sidecar.telemetry.emitter import Instrument
from sidecar.telemetry.outside import merge, recorder
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.text_parser import find_samples

MAX_POOLS: Final = 20
# It is a label value of metrics.
MAX_NAME_LENGTH: Final = 200
_NAME_LABEL: Final = attribute.POOL_NAME.replace(".", "_")
_STATE_LABEL: Final = attribute.POOL_STATE.replace(".", "_")


class PoolNumbers(Protocol):
    """What a pool knows of itself; reading it does no I/O."""

    @property
    def name(self) -> str:
        """`host:port/database`, or what the service calls it."""

    @property
    def used(self) -> int:
        """Connections handed out, by the pool's own count."""

    @property
    def idle(self) -> int:
        """Connections open and free."""

    @property
    def max(self) -> int:
        """Connections that it may open."""

    @property
    def pending(self) -> int:
        """Requests waiting now."""

    @property
    def timeouts(self) -> int:
        """Requests that gave up waiting, since the pool was made."""

    @property
    def closed(self) -> int:
        """Connections closed, since the pool was made."""

    @property
    def oldest_wait_seconds(self) -> float:
        """Age of the request that waits longest; 0.0 when none does."""

    @property
    def leaks(self) -> int:
        """Connections held for longer than the pool's limit."""


@dataclass(frozen=True, slots=True)
class PoolReport:
    """The numbers of another process's pool, as its exposition has them."""

    name: str
    used: int
    idle: int
    max: int
    pending: int
    timeouts: int
    leaks: int = 0


class PoolTelemetry:
    """Takes a pool's durations, all in seconds; it neither raises nor waits.

    OpenTelemetry cannot observe a histogram that was filled elsewhere, so the pool calls
    these as it goes, at about 5 µs each. It records for the observer `beside`, too: who observed
    before, and does again afterwards.
    """

    def __init__(self, telemetry: Telemetry, pool_name: str, beside: object = None) -> None:
        self._attributes: Final[dict[str, str]] = {attribute.POOL_NAME: pool_name}
        others = beside.histograms if isinstance(beside, PoolTelemetry) else {}
        self.histograms: Final[dict[Instrument, tuple[Histogram, ...]]] = {
            each: merge(telemetry.histograms(each), others.get(each, ()))
            for each in (metric.POOL_WAIT_TIME, metric.POOL_USE_TIME, metric.POOL_CREATE_TIME)
        }
        self._wait, self._use, self._create = map(recorder, self.histograms.values())

    def waited(self, seconds: float, outcome: str) -> None:
        """A request got its connection, or did not: `ok`, `timeout`, `cancelled` or `error`."""
        self._wait(seconds, {**self._attributes, attribute.OUTCOME: outcome})

    def used(self, seconds: float) -> None:
        """A connection was given back."""
        self._use(seconds, self._attributes)

    def created(self, seconds: float) -> None:
        """A connection was opened."""
        self._create(seconds, self._attributes)


class CountedPool(PoolNumbers, Protocol):
    """A pool whose durations can be observed too."""

    observer: Any


def follow_pool(telemetry: Telemetry, pool: CountedPool) -> Callable[[], None]:
    """Show a pool's numbers and durations; call the returned function to stop."""
    stack = ExitStack()
    stack.callback(observe_pool(telemetry, pool))
    stack.callback(setattr, pool, "observer", pool.observer)
    pool.observer = PoolTelemetry(telemetry, pool.name, pool.observer)
    return stack.close


def observe_pool(telemetry: Telemetry, pool: PoolNumbers) -> Callable[[], None]:
    """Show a pool's numbers; call the returned function when it is closed."""
    labels: dict[str, str] = {attribute.POOL_NAME: pool.name}
    used, idle = ({**labels, attribute.POOL_STATE: state} for state in ("used", "idle"))
    return telemetry.observe(
        {
            metric.POOL_COUNT: lambda: [(pool.used, used), (pool.idle, idle)],
            metric.POOL_MAX: lambda: [(pool.max, labels)],
            metric.POOL_PENDING: lambda: [(pool.pending, labels)],
            metric.POOL_TIMEOUTS: lambda: [(pool.timeouts, labels)],
            metric.POOL_CLOSED: lambda: [(pool.closed, labels)],
            metric.POOL_WAIT_OLDEST: lambda: [(pool.oldest_wait_seconds, labels)],
            metric.POOL_LEAKS: lambda: [(pool.leaks, labels)],
        },
        pool,
    )


def read_pools(text: str) -> tuple[PoolReport, ...]:
    """Return the pools in a process's exposition, `MAX_POOLS` at most, by their order in it.

    It is the other side of `observe_pool`: one that lacks a number other than leaks is left out.
    """
    used, idle = (_read(text, metric.POOL_COUNT, state) for state in ("used", "idle"))
    others = (metric.POOL_MAX, metric.POOL_PENDING, metric.POOL_TIMEOUTS)
    numbers = [used, idle, *(_read(text, each) for each in others)]
    leaks = Counter(_read(text, metric.POOL_LEAKS))
    complete = set(used).intersection(*numbers)
    names = [name for name in used if name in complete and len(name) <= MAX_NAME_LENGTH]
    return tuple(
        PoolReport(name, *(each[name] for each in (*numbers, leaks))) for name in names[:MAX_POOLS]
    )


def _read(text: str, instrument: Instrument, state: str | None = None) -> dict[str, int]:
    """Return an instrument's numbers by pool."""
    return {
        labels[_NAME_LABEL]: int(value)
        for labels, value in find_samples(text, instrument.prometheus_name)
        if _NAME_LABEL in labels and labels.get(_STATE_LABEL) == state and math.isfinite(value)
    }
