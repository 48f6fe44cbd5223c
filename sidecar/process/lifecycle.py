"""Signals: the first asks for an orderly end, the second cuts it short; others do no harm."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from sidecar.events.wait import wait_at_most

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
HARMLESS: Final = (signal.SIGUSR1, signal.SIGUSR2)
"""Others reopen their log files at these; ours is a stream."""

logger = logging.getLogger(__name__)


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
        """Handle signals on the running event loop, and let those after its end pass.

        SIGHUP is a request where the process has a terminal, which is gone by then, and without
        one it is passed over: what may change while it runs is looked after anyway.
        """
        for number in SIGNALS:
            _handle(number, lambda _: self.request())
        for number in HARMLESS:
            _handle(number, _pass_over)
        # Started with nohup, it is to outlive the terminal.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            has_terminal = _has_terminal()
            _handle(signal.SIGHUP, lambda n: self.request() if has_terminal else _pass_over(n))

    def request(self) -> None:
        """Do what a signal does."""
        if self.requested.is_set():
            self.cut_short.set()
        self.requested.set()

    async def run(
        self, work: Coroutine[Any, Any, None], stop: Callable[[], Awaitable[None]]
    ) -> None:
        """Run something until a signal, and then to its end or a second signal, which cancels it.

        On cancellation the work is cancelled, too. What it raises passes. `stop` asks it to end,
        once: after the signal, or after its own end.
        """
        running = asyncio.create_task(work)
        try:
            await _first_of(running, self.requested)
            await stop()
            await _first_of(running, self.cut_short)
        finally:
            running.cancel()
            await asyncio.wait((running,))
        if not running.cancelled():
            running.result()

    async def rest(self, seconds: float) -> None:
        """Wait, unless cut short."""
        await wait_at_most(self.cut_short, seconds)

    async def wait_requested(self, limit_seconds: float) -> None:
        """Wait for the first signal, but not longer than the limit."""
        await wait_at_most(self.requested, limit_seconds)


def pass_over_signals() -> None:
    """Let signals pass from now on: the work is done, and the exit code is decided."""
    for number in (*SIGNALS, *HARMLESS, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


async def _first_of(running: asyncio.Task[None], event: asyncio.Event) -> None:
    """Wait for the end of a task or for an event, whichever comes first."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def _handle(number: signal.Signals, act: Callable[[signal.Signals], None]) -> None:
    """Act on a signal in the running loop.

    The loop's own way would put the default back when it closes, and a signal that comes between
    then and the end of the process would kill it.
    """
    loop = asyncio.get_running_loop()

    def wake(_number: int, _frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # The loop is closed.
            loop.call_soon_threadsafe(act, number)

    signal.signal(number, wake)


def _pass_over(number: signal.Signals) -> None:
    logger.info(
        "%s changes nothing here", number.name, extra={"event": "sidecar.process.signal_passed"}
    )


def _has_terminal() -> bool:
    try:
        os.close(os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
