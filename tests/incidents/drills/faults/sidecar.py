"""What goes wrong with the sidecar itself: its worker, its configuration, its life."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psutil

from tests.incidents.drills.drill import Alert, Check, Drill, Log, Metric, Sentence, Signals
from tests.incidents.drills.stand import Stand
from tests.incidents.patience import POLL_SECONDS

KILLS: Final = 3


@asynccontextmanager
async def runner_killed(stand: Stand) -> AsyncIterator[None]:
    killing = asyncio.create_task(_kill_on(stand))
    yield
    killing.cancel()


async def _kill_on(stand: Stand) -> None:
    """Kill the worker, and each that comes in its place before it is up."""
    killed: set[int] = set()
    while len(killed) < KILLS:
        pid = (await stand.program.worker())["pid"]
        if pid and pid not in killed:
            psutil.Process(pid).kill()
            killed.add(pid)
        await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def configuration_invalid(stand: Stand) -> AsyncIterator[None]:
    await stand.restart_program(SIDECAR_DRAIN_DELAY_SECONDS="soon")
    yield
    await stand.restart_program()


@asynccontextmanager
async def sidecar_killed(stand: Stand) -> AsyncIterator[None]:
    await stand.program.kill()
    stand.program.family.kill()
    yield
    await stand.start_program()


DRILLS: Final = (
    Drill(
        name="runner killed",
        injected=f"SIGKILL to the worker and to the next {KILLS - 1} while they start",
        fault=runner_killed,
        signals=Signals(
            alert=Alert("SidecarWorkerRestarting"),
            check=Check("workers", "fail", "workers.down"),
            metric=Metric("sidecar_worker_restarts_total > 0"),
            log=Log("sidecar.worker.exited"),
            letter=None,
            sentence=Sentence(r"worker-1 running \d+ [1-9]"),
        ),
        quiet=("sidecar_ready == 0", "sidecar_dead_letters > 0", "up == 0"),
    ),
    Drill(
        name="configuration invalid",
        injected="restarted with SIDECAR_DRAIN_DELAY_SECONDS=soon",
        fault=configuration_invalid,
        signals=Signals(
            alert=Alert("SidecarConfigInvalid"),
            check=Check("configuration", "warn", "configuration.invalid"),
            metric=Metric('sidecar_config_findings{severity=~"error|refuse"} > 0'),
            log=Log("sidecar.configuration.found"),
            letter=None,
            sentence=Sentence(r"SIDECAR_DRAIN_DELAY_SECONDS is not"),
        ),
        # A restart.
        answers=False,
    ),
    Drill(
        name="sidecar killed",
        injected="SIGKILL to the probe process and its worker",
        fault=sidecar_killed,
        signals=Signals(
            alert=Alert("SidecarDown"),
            check=None,
            metric=Metric("up == 0"),
            log=None,
            letter=None,
            sentence=None,
        ),
        answers=False,
    ),
)
