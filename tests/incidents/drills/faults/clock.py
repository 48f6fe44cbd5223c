"""What goes wrong with the clock of the machine that the sidecar runs on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.incidents.drills.drill import Drill, Metric, Signals
from tests.incidents.drills.stand import Plan, Stand

FOLDERS: Final = ("/usr/lib", "/usr/local/lib")
# Long enough for every rule about silence and lag, shortened, to take it for real.
STAY_SECONDS: Final = 15.0


@asynccontextmanager
async def with_false_clock(stand: Stand) -> AsyncIterator[None]:
    """Give the sidecar and its worker a wall clock that can be set; durations stay true."""
    library = find_library()
    if library is None:
        pytest.skip("libfaketime is not installed")
    clock = stand.folder / "clock"
    stand.rig["clock"] = clock
    set_clock(stand, 0)
    stand.variables |= {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        # Looked at once a second; at each question it would take the processor from what is tried.
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    yield


def find_library() -> Path | None:
    """Return libfaketime for programs with threads."""
    found = (path for folder in FOLDERS for path in Path(folder).rglob("libfaketimeMT.so.1"))
    return next(found, None)


def set_clock(stand: Stand, seconds: int) -> None:
    clock: Path = stand.rig["clock"]
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{seconds:+d}s\n")
    fresh.rename(clock)


@asynccontextmanager
async def jumping(stand: Stand) -> AsyncIterator[None]:
    set_clock(stand, 3600)
    await asyncio.sleep(STAY_SECONDS)
    set_clock(stand, -3600)
    await asyncio.sleep(STAY_SECONDS)
    yield
    set_clock(stand, 0)


DRILLS: Final = (
    Drill(
        name="clock that jumps",
        injected="the sidecar's clock is set an hour forward, then two hours back (libfaketime)",
        fault=jumping,
        # The server's clock and monotonic time judge; what the machine believes matters to nobody.
        signals=Signals(
            alert=None,
            check=None,
            # What shows that it is wrong at all.
            metric=Metric("time() - max(sidecar_projection_heartbeat_timestamp_seconds) > 3500"),
            log=None,
            letter=None,
            sentence=None,
        ),
        quiet=(
            'sidecar_projection_status{status=~"stalled|failed|unowned"} == 1',
            'sidecar_check_status{check=~"projection-.+",status=~"fail|unknown"} == 1',
            "sidecar_projection_lag_seconds > 10",
            "sidecar_worker_restarts_total > 0",
            "sidecar_projection_failures_total > 0",
            'ALERTS{alertname!="SidecarWatchdog",alertstate="firing"}',
        ),
        plan=Plan(prepare=with_false_clock),
        lasts_seconds=0.0,
    ),
)
