"""Signals: the first asks for an orderly end, the second cuts it short."""

import asyncio
import signal
from typing import Final

from sidecar.events.wait import wait_at_most

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Shutdown:
    """Set up before any slow work, so that a signal during boot is not lost.

    Attributes:
        requested: Set by the first signal.
        cut_short: Set by the second: skip every wait.
    """

    def __init__(self) -> None:
        self.requested: Final = asyncio.Event()
        self.cut_short: Final = asyncio.Event()

    def install(self) -> None:
        """Handle signals on the running event loop."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.request)

    def request(self) -> None:
        """Do what a signal does."""
        if self.requested.is_set():
            self.cut_short.set()
        self.requested.set()

    async def rest(self, seconds: float) -> None:
        """Wait, unless cut short."""
        await wait_at_most(self.cut_short, seconds)

    async def wait_requested(self, limit_seconds: float) -> None:
        """Wait for the first signal, but not longer than the limit."""
        await wait_at_most(self.requested, limit_seconds)
