"""A loop that was held up once is told from one that is held up again and again."""

import asyncio
import time

from sidecar.health.check_runner import CheckRunner
from sidecar.health.outcome import Outcome
from sidecar.process.loop_lag import LoopLagMonitor
from sidecar.wiring.checks import this_process
from tests.incidents.patience import eventually

HELD_UP_SECONDS = 0.4


async def test_a_pause_is_the_worst_of_a_window_and_soon_no_longer_the_last() -> None:
    lag_monitor = LoopLagMonitor()
    beating = asyncio.create_task(lag_monitor.run())
    await asyncio.sleep(0)
    time.sleep(HELD_UP_SECONDS)  # noqa: ASYNC251 - this is what holds a loop up
    assert lag_monitor.last_lag_seconds > HELD_UP_SECONDS / 2

    async def is_on_time() -> bool:
        return lag_monitor.last_lag_seconds < HELD_UP_SECONDS / 2

    await eventually(is_on_time)
    assert lag_monitor.lag_seconds > HELD_UP_SECONDS / 2
    beating.cancel()


async def test_liveness_is_judged_by_the_last_beat() -> None:
    lag_monitor = LoopLagMonitor()
    lag_monitor._lags.append(this_process.LOOP_LAG_LIMIT_SECONDS * 10)
    check = this_process.loop_check(lag_monitor)
    late = await CheckRunner(check).ask()
    lag_monitor._lags.append(0.0)
    on_time = await CheckRunner(check).ask()

    assert (late.reason, on_time.outcome) == ("event-loop.late", Outcome.PASS)
    assert lag_monitor.lag_seconds == this_process.LOOP_LAG_LIMIT_SECONDS * 10
