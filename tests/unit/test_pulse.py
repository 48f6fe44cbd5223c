"""A loop that was held up once is told from one that is held up again and again."""

import asyncio
import time

from sidecar.health.inquiry import Inquiry
from sidecar.health.outcome import Outcome
from sidecar.process.pulse import Pulse
from sidecar.wiring.checks import own
from tests.incidents.patience import eventually

HELD_UP_SECONDS = 0.4


async def test_a_pause_is_the_worst_of_a_window_and_soon_no_longer_the_last() -> None:
    pulse = Pulse()
    beating = asyncio.create_task(pulse.run())
    await asyncio.sleep(0)
    time.sleep(HELD_UP_SECONDS)  # noqa: ASYNC251 - this is what holds a loop up
    assert pulse.last_lag_seconds > HELD_UP_SECONDS / 2

    async def is_on_time() -> bool:
        return pulse.last_lag_seconds < HELD_UP_SECONDS / 2

    await eventually(is_on_time)
    assert pulse.lag_seconds > HELD_UP_SECONDS / 2
    beating.cancel()


async def test_liveness_is_judged_by_the_last_beat() -> None:
    pulse = Pulse()
    pulse._lags.append(own.LOOP_LAG_LIMIT_SECONDS * 10)
    check = own.loop_check(pulse)
    late = await Inquiry(check).ask()
    pulse._lags.append(0.0)
    on_time = await Inquiry(check).ask()

    assert (late.reason, on_time.outcome) == ("event-loop.late", Outcome.PASS)
    assert pulse.lag_seconds == own.LOOP_LAG_LIMIT_SECONDS * 10
