"""Signals: the first asks for an orderly end, the second cuts it short."""

import asyncio
import signal
from typing import Final

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
        try:
            async with asyncio.timeout(seconds):
                await self.cut_short.wait()
        except TimeoutError:
            return

    async def wait_requested(self, limit_seconds: float) -> None:
        """Wait for the first signal, but not longer than the limit."""
        try:
            async with asyncio.timeout(limit_seconds):
                await self.requested.wait()
        except TimeoutError:
            return
