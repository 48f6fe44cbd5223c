"""The loops that ask every check in the background, and what they found last."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from sidecar.errors import UsageError
from sidecar.health.check import Check
from sidecar.health.check_state import CheckState
from sidecar.health.check_status import CheckStatus
from sidecar.health.outcome import CheckResult, Outcome

_utc_now: Final = partial(datetime.now, UTC)

logger = logging.getLogger(__name__)


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
    ) -> None:
        self.revision = 0
        self.transitions: Counter[tuple[str, Outcome]] = Counter()
        self.loop_restarts = 0
        self._clock = clock
        self._now = now
        self._states: dict[str, CheckState] = {}
        self._is_running = False
        for check in checks:
            self.add(check)

    def add(self, check: Check) -> None:
        """Take a check in; on a running monitor it is asked at once.

        Raises:
            UsageError: Its name is taken.
        """
        if check.name in self._states:
            raise UsageError(f"Two checks are named {check.name!r}; rename one of them.")
        state = self._states[check.name] = CheckState(check)
        self.revision += 1
        if self._is_running:
            self._start(state)

    def discard(self, name: str) -> None:
        """Forget a check and stop its loop; an unknown name is fine."""
        state = self._states.pop(name, None)
        if state is None:
            return
        self.revision += 1
        if state.loop is not None:
            state.loop.cancel()

    def snapshot(self, now_mono: float) -> tuple[CheckStatus, ...]:
        """Return every check's status at a monotonic time, in order of registration."""
        return tuple(state.status(now_mono) for state in self._states.values())

    async def run(self) -> None:
        """Ask all checks until cancelled; may be called again afterwards."""
        self._is_running = True
        for state in self._states.values():
            self._start(state)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._is_running = False
            loops = [state.loop for state in self._states.values() if state.loop is not None]
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    def _wants(self, state: CheckState) -> bool:
        return self._is_running and self._states.get(state.check.name) is state

    def _start(self, state: CheckState) -> None:
        if not self._wants(state) or (state.loop is not None and not state.loop.done()):
            return
        state.loop = asyncio.create_task(self._keep_asking(state), name=f"ask {state.check.name}")
        state.loop.add_done_callback(partial(self._restart, state))

    def _restart(self, state: CheckState, ended: "asyncio.Task[None]") -> None:
        error = None if ended.cancelled() else ended.exception()
        if not self._wants(state):
            return
        self.loop_restarts += 1
        logger.error(
            "The loop of check %s ended and is started again",
            state.check.name,
            exc_info=error,
            extra={"event": "sidecar.check.loop_restarted", "check": state.check.name},
        )
        # After a pause: a loop that dies at once must not spin.
        ended.get_loop().call_later(state.check.interval_seconds, self._start, state)

    async def _keep_asking(self, state: CheckState) -> None:
        while True:
            self._take(state, await state.runner.ask())
            await asyncio.sleep(state.check.interval_seconds)

    def _take(self, state: CheckState, result: CheckResult) -> None:
        before = state.shown.outcome
        if state.take(result, now_mono=self._clock(), now=self._now()):
            self.revision += 1
        after = state.shown.outcome
        if after is not before:
            self.transitions[state.check.name, after] += 1
            _log_change(state.check.name, before, state.shown)


def _log_change(name: str, before: Outcome, shown: CheckResult) -> None:
    logger.log(
        logging.INFO if shown.outcome is Outcome.PASS else logging.WARNING,
        "Check %s turned from %s to %s%s%s",
        name,
        before,
        shown.outcome,
        f" ({shown.reason})" if shown.reason else "",
        f": {shown.detail}" if shown.detail else "",
        extra={
            "event": "sidecar.check.changed",
            "check": name,
            "status": shown.outcome.value,
            "reason": shown.reason,
        },
    )
