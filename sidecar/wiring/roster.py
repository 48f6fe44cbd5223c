"""Projections come and go; each has its check while the database knows it."""

from sidecar.health.monitor import Monitor
from sidecar.postgres.watch import Watch
from sidecar.projections.standing import Standing
from sidecar.wiring.check import name_checks, projection_check


class ProjectionRoster:
    """Keeps one check per projection on the monitor.

    Args:
        monitor: Where the checks are asked.
        watch: Where the projections are seen.
        lag_limit_seconds: Lag above which a check warns.
    """

    def __init__(self, monitor: Monitor, watch: Watch, lag_limit_seconds: float) -> None:
        self._monitor = monitor
        self._watch = watch
        self._lag_limit_seconds = lag_limit_seconds
        self._checks: dict[str, str] = {}

    def refresh(self) -> None:
        """Add and remove checks; while nothing is seen those known stay, and turn bad."""
        sample = self._watch.sample
        if sample is None:
            return
        wanted = name_checks([standing.name for standing in sample.standings])
        for projection, name in self._checks.items():
            if wanted.get(projection) != name:
                self._monitor.discard(name)
        for projection, name in wanted.items():
            if self._checks.get(projection) != name:
                self._monitor.add(
                    projection_check(projection, name, self.find, self._lag_limit_seconds)
                )
        self._checks = wanted

    def find(self, name: str) -> Standing | None:
        """Return how a projection stands; None when that is not known now."""
        sample = self._watch.sample
        standings = sample.standings if sample else ()
        return next((standing for standing in standings if standing.name == name), None)
