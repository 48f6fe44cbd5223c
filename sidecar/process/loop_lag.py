"""How late an event loop is: the measure of whether it still turns."""

import asyncio
import time
from collections import deque
from typing import Final

INTERVAL_SECONDS: Final = 0.1
WINDOW_BEATS: Final = 50


class LoopLagMonitor:
    """Beats on the event loop that it runs on and measures by how much each beat is late."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque([0.0], maxlen=WINDOW_BEATS)
        self._due_mono = time.monotonic()

    @property
    def lag_seconds(self) -> float:
        """The worst lateness of about the last 5 s; grows while a beat is overdue."""
        return max(*self._lags, self.last_lag_seconds)

    @property
    def last_lag_seconds(self) -> float:
        """How late the last beat was, or how overdue the next one is by now."""
        overdue = time.monotonic() - self._due_mono
        return max(self._lags[-1], overdue, 0.0)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._due_mono = time.monotonic() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            self._lags.append(max(time.monotonic() - self._due_mono, 0.0))
