"""Waits for another worker to take projections over, and reports when none does."""

import time
from collections.abc import Sequence
from typing import Final

from sidecar.health.duration import lasted_seconds, since
from sidecar.telemetry.terminal import say

# Within this another worker takes over what a worker that ended had run.
TAKEOVER_SECONDS: Final = 5.0


class Takeover:
    """The time since no worker runs a projection; to be asked at every poll."""

    def __init__(self) -> None:
        self._unowned_mono: float | None = None

    def has_timed_out(self, unowned: Sequence[str], hint: str) -> bool:
        """Return True, and print why, when no worker took projections over in time.

        Args:
            unowned: The projections that no worker runs now.
            hint: What becomes of the work, up to "once a worker runs".
        """
        now_mono = time.monotonic()
        self._unowned_mono = since(self._unowned_mono, now_mono, holds=bool(unowned))
        if lasted_seconds(self._unowned_mono, now_mono) <= TAKEOVER_SECONDS:
            return False
        say(
            f"No worker runs {', '.join(unowned)}. {hint} once `sidecar run` or `sidecar serve` "
            "does.",
            err=True,
        )
        return True
