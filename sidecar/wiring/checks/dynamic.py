"""Checks that come and go with what they are about."""

import logging
from collections.abc import Callable, Mapping

from sidecar.errors import UsageError
from sidecar.health.check import Check
from sidecar.health.monitor import Monitor

logger = logging.getLogger(__name__)

MakeCheck = Callable[[], Check]


class DynamicChecks:
    """Keeps a changing set of checks on a monitor.

    A check that cannot be added, as one of the application's that bears the name of ours, is left
    out and told once; it must not take the others with it.

    Args:
        monitor: Where the checks are asked.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._present: set[str] = set()
        self._refused: set[str] = set()

    def update(self, wanted: Mapping[str, MakeCheck]) -> None:
        """Add what is wanted and not there, remove what is there and not wanted."""
        for name in self._present - wanted.keys():
            self._monitor.discard(name)
        for name in [name for name in wanted if name not in self._known]:
            self._add(name, wanted[name])
        self._present &= wanted.keys()
        self._refused &= wanted.keys()

    @property
    def _known(self) -> set[str]:
        return self._present | self._refused

    def _add(self, name: str, make: MakeCheck) -> None:
        try:
            self._monitor.add(make())
        except UsageError as error:
            self._refused.add(name)
            logger.warning(
                "A check is left out: %s",
                error,
                extra={"event": "sidecar.check.refused", "check": name},
            )
        else:
            self._present.add(name)
