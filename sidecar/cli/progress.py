"""Watching long work that workers do: a bar with rate and time left, plain lines elsewhere."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Self

from sidecar.health.duration import Stretch
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.dead_letters.dead_letter import (
    count_open,
    list_logged,
    list_paused,
    list_unowned,
)
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.samples.sample import take_sample
from sidecar.projections.projection_status import ProjectionStatus, Rebuild
from sidecar.telemetry.terminal import Screen, say
from sidecar.telemetry.visible import visible
from sidecar.wiring.admin import open_session
from sidecar.wiring.boot import Boot

POLL_SECONDS: Final = 0.5
LINE_SECONDS: Final = 5.0
# Within this another worker takes over what a worker that ended had run.
TAKEOVER_SECONDS: Final = 5.0


class Meter:
    """Shows `done` of `total` events or dead letters."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._began_mono = time.monotonic()
        self._printed_mono = time.monotonic()
        screen = Screen()
        self._bar = screen.progress() if screen.is_terminal else None
        if self._bar is not None:
            self._bar.add_task(visible(title), total=total, rate=0.0)

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, total: int | None = None) -> None:
        """Show progress; plain lines come at most every `LINE_SECONDS`."""
        self._total = self._total if total is None else total
        rate = done / max(time.monotonic() - self._began_mono, 1e-9)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=self._total, rate=rate)
        elif time.monotonic() - self._printed_mono > LINE_SECONDS:
            self._printed_mono = time.monotonic()
            left = max(self._total - done, 0) / rate if rate else 0.0
            say(f"{self._title}: {done} of {self._total}, {rate:,.0f}/s, about {left:.0f} s left")


async def follow_retry(boot: Boot, ids: Sequence[int]) -> bool:
    """Watch a retry to its end; return True when every dead letter was resolved.

    It ends when each has been resolved or has failed again, when a projection is paused, and when
    no worker runs it any more.
    """
    async with open_session(boot) as connection:
        logged = await list_logged(connection, ids)
        if pushed := len(ids) - len(logged):
            say(
                f"{pushed} of events published in process: their application takes them up "
                "while its agent runs; `sidecar dead-letters list` shows what is left."
            )
            if not logged:
                return True
            ids = logged
        with Meter("retrying", len(ids)) as meter:
            failed = await _watch_retry(connection, ids, meter)
    if failed is None:
        return False
    say(f"{len(ids) - failed} taken up again, {failed} failed again.")
    return failed == 0


async def _watch_retry(connection: RawConnection, ids: Sequence[int], meter: Meter) -> int | None:
    """Return how many failed again; None when no worker goes on with it."""
    ownerless = Stretch()
    while True:
        still_open, failed = await count_open(connection, ids)
        if still_open <= failed:
            meter.show(len(ids) - still_open)
            return failed
        if paused := await list_paused(connection, ids):
            hints = (f"{name} is paused; `sidecar projections resume {name}`" for name in paused)
            say(f"{', '.join(hints)}. The retry is noted and happens then.", err=True)
            return None
        unowned = await list_unowned(connection, ids)
        if is_left_alone(ownerless, unowned, "The retry is noted and happens"):
            return None
        if not unowned:
            meter.show(len(ids) - still_open)
        await asyncio.sleep(POLL_SECONDS)


async def watch_rebuild(boot: Boot, name: str) -> ProjectionStatus | None:
    """Watch a rebuild until it is swapped in, has halted, or no worker goes on with it.

    Returns:
        The last status, whose rebuild still runs where no worker goes on; None once the projection
        is gone.
    """
    async with open_session(boot) as connection:
        with Meter(f"rebuilding {name}", 1) as meter:
            return await _watch_rebuild(connection, name, meter)


async def _watch_rebuild(
    connection: RawConnection, name: str, meter: Meter
) -> ProjectionStatus | None:
    """Return the last status; its rebuild still runs when no worker goes on with it."""
    ownerless = Stretch()
    follower = SafeHeadFollower()
    while True:
        sample = await take_sample(connection, follower)
        status = next((each for each in sample.projections if each.name == name), None)
        if status is None or status.rebuild is not Rebuild.RUNNING:
            return status
        unowned = () if status.owners else (name,)
        if is_left_alone(ownerless, unowned, "The rebuild is noted and goes on"):
            return status
        meter.show(int((status.progress or 0.0) * sample.safe_head), sample.safe_head)
        await asyncio.sleep(POLL_SECONDS)


def is_left_alone(ownerless: Stretch, unowned: Sequence[str], hint: str) -> bool:
    """Return True, and print why, when no worker took projections over in time.

    The hint says what becomes of the work, up to "once a worker runs".
    """
    if ownerless.lasted_seconds(time.monotonic(), holds=bool(unowned)) <= TAKEOVER_SECONDS:
        return False
    say(
        f"No worker runs {', '.join(unowned)}. {hint} once `sidecar run` or `sidecar serve` does.",
        err=True,
    )
    return True
