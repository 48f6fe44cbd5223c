"""The loops that ask every check in the background, and what they found last."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from sidecar.errors import UsageError
from sidecar.health.check import Check
from sidecar.health.outcome import CheckResult, Outcome
from sidecar.health.status import CheckStatus
from sidecar.health.watch import CheckWatch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckChange:
    """A check that turned.

    Attributes:
        check: Its name.
        before: The outcome that was shown; unknown before the first answer.
        after: The outcome that is shown now.
        reason: Stable code; empty on a pass.
        detail: What is wrong and what to do; empty where the code says it all.
    """

    check: str
    before: Outcome
    after: Outcome
    reason: str
    detail: str = ""


class ChangeListener(Protocol):
    """Whoever wants to hear of every change, such as telemetry; called on the event loop."""

    def __call__(self, change: CheckChange, /) -> None:
        """Take note of it; an exception is logged and does not stop the check."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Monitor:
    """Asks each check in a loop of its own; reading it never waits.

    Attributes:
        revision: Grows whenever a status changes, appears or goes, but not by age.
        transitions: How often each (check, outcome) was arrived at.
        loop_restarts: Loops that died and were started again.
    """

    def __init__(
        self,
        checks: Iterable[Check] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
        listeners: Iterable[ChangeListener] = (),
    ) -> None:
        self.revision = 0
        self.transitions: Counter[tuple[str, Outcome]] = Counter()
        self.loop_restarts = 0
        self._clock = clock
        self._now = now
        self._listeners = tuple(listeners)
        self._watches: dict[str, CheckWatch] = {}
        self._is_running = False
        for check in checks:
            self.add(check)

    def add(self, check: Check) -> None:
        """Take a check in; on a running monitor it is asked at once.

        Raises:
            UsageError: Its name is taken.
        """
        if check.name in self._watches:
            raise UsageError(f"Two checks are named {check.name!r}; rename one of them.")
        watch = self._watches[check.name] = CheckWatch(check)
        self.revision += 1
        if self._is_running:
            self._start(watch)

    def discard(self, name: str) -> None:
        """Forget a check and stop its loop; an unknown name is fine."""
        watch = self._watches.pop(name, None)
        if watch is None:
            return
        self.revision += 1
        if watch.loop is not None:
            watch.loop.cancel()

    def snapshot(self, now_mono: float) -> tuple[CheckStatus, ...]:
        """Return every check's status at a monotonic time, in order of registration."""
        return tuple(watch.status(now_mono) for watch in self._watches.values())

    async def run(self) -> None:
        """Ask all checks until cancelled; may be called again afterwards."""
        self._is_running = True
        for watch in self._watches.values():
            self._start(watch)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._is_running = False
            await self._stop_loops()

    async def _stop_loops(self) -> None:
        loops = [watch.loop for watch in self._watches.values() if watch.loop is not None]
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    def _wants(self, watch: CheckWatch) -> bool:
        return self._is_running and self._watches.get(watch.check.name) is watch

    def _start(self, watch: CheckWatch) -> None:
        if not self._wants(watch) or (watch.loop is not None and not watch.loop.done()):
            return
        watch.loop = asyncio.create_task(self._keep_asking(watch), name=f"ask {watch.check.name}")
        watch.loop.add_done_callback(partial(self._restart, watch))

    def _restart(self, watch: CheckWatch, ended: "asyncio.Task[None]") -> None:
        error = None if ended.cancelled() else ended.exception()
        if not self._wants(watch):
            return
        self.loop_restarts += 1
        logger.error(
            "The loop of check %s ended and is started again",
            watch.check.name,
            exc_info=error,
            extra={"event": "sidecar.check.loop_restarted", "check": watch.check.name},
        )
        # After a pause: a loop that dies at once must not spin.
        ended.get_loop().call_later(watch.check.interval_seconds, self._start, watch)

    async def _keep_asking(self, watch: CheckWatch) -> None:
        while True:
            self._take(watch, await watch.inquiry.ask())
            await asyncio.sleep(watch.check.interval_seconds)

    def _take(self, watch: CheckWatch, result: CheckResult) -> None:
        before = watch.outcome or Outcome.UNKNOWN
        if watch.take(result, now_mono=self._clock(), now=self._now()):
            self.revision += 1
        after = watch.outcome or Outcome.UNKNOWN
        if after is not before:
            self._announce(CheckChange(watch.check.name, before, after, watch.reason, watch.detail))

    def _announce(self, change: CheckChange) -> None:
        self.transitions[change.check, change.after] += 1
        logger.log(
            logging.INFO if change.after is Outcome.PASS else logging.WARNING,
            "Check %s turned from %s to %s%s%s",
            change.check,
            change.before,
            change.after,
            f" ({change.reason})" if change.reason else "",
            f": {change.detail}" if change.detail else "",
            extra={
                "event": "sidecar.check.changed",
                "check": change.check,
                "status": change.after.value,
                "reason": change.reason,
            },
        )
        for listener in self._listeners:
            try:
                listener(change)
            except Exception:
                logger.exception("A listener to check changes failed")
