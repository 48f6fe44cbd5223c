"""Checks that come and go with what they are about."""

from collections.abc import Callable, Mapping

from sidecar.health.check import Check
from sidecar.health.monitor import Monitor

MakeCheck = Callable[[], Check]


class Roster:
    """Keeps a changing set of checks on a monitor.

    Args:
        monitor: Where the checks are asked.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._present: set[str] = set()

    def update(self, wanted: Mapping[str, MakeCheck]) -> None:
        """Add what is wanted and not there, remove what is there and not wanted."""
        for name in self._present - wanted.keys():
            self._monitor.discard(name)
        for name, make in wanted.items():
            if name not in self._present:
                self._monitor.add(make())
        self._present = set(wanted)
