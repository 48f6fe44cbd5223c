"""The last quarter of an hour of every projection, for the status page."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STEP_SECONDS: Final = 5.0
SPAN_SECONDS: Final = 900.0
RATE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Point:
    """How a projection stood: its checkpoint, and its lag."""

    position: int
    lag_seconds: float


class History:
    """A ring of moments, one every 5 s, so that its size is bounded by the projections.

    All times are monotonic seconds, handed over by the caller.
    """

    def __init__(self) -> None:
        self._moments: Final[deque[tuple[float, Mapping[str, Point]]]] = deque(
            maxlen=int(SPAN_SECONDS / STEP_SECONDS)
        )

    def record(self, points: Mapping[str, Point], now_mono: float) -> None:
        """Take a moment in, unless the one before is too young; an empty one is a gap."""
        if not self._moments or now_mono - self._moments[-1][0] >= STEP_SECONDS:
            self._moments.append((now_mono, dict(points)))

    def lags(self, name: str) -> list[float | None]:
        """Return the projection's lags in seconds, oldest first; None where it was not seen."""
        points = (moment.get(name) for _, moment in self._moments)
        return [None if point is None else point.lag_seconds for point in points]

    def events_per_second(self, name: str) -> float | None:
        """Return how fast the checkpoint moved over the last minute; None while not known.

        Positions stand for events, which they are but for gaps and rolled back appends.
        """
        seen = [(at, moment[name]) for at, moment in self._moments if name in moment]
        if not seen:
            return None
        last_mono, last = seen[-1]
        first_mono, first = next(one for one in seen if last_mono - one[0] <= RATE_SECONDS)
        if last_mono == first_mono:
            return None
        # A rebuild that was swapped in can move a checkpoint back.
        return max(last.position - first.position, 0) / (last_mono - first_mono)
