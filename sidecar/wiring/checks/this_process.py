"""Checks of this process and its machine."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sidecar.config.severity import Severity
from sidecar.health.check import Check, ComponentType, Probe
from sidecar.health.outcome import CheckResult, failed, passed, warned
from sidecar.lint.linter import Verdict
from sidecar.process.loop_lag import LoopLagMonitor
from sidecar.wiring.checks import check

# A probe process whose loop is this late again and again is stuck, and a restart would help. One
# that was stopped for a while, as its machine is for a snapshot, was late once.
LOOP_LAG_LIMIT_SECONDS: Final = 5.0
DISK_WARN_BYTES: Final = 1024**3
DISK_FAIL_BYTES: Final = 100 * 1024**2
TELEMETRY_MEMORY_SECONDS: Final = 60.0
GROUP: Final = "process"


def loop_check(lag_monitor: LoopLagMonitor) -> Check:
    """Does the event loop turn?"""

    async def ask() -> CheckResult:
        lag = lag_monitor.last_lag_seconds
        if lag > LOOP_LAG_LIMIT_SECONDS:
            return failed("event-loop.late", lag, "s")
        return passed(lag, "s")

    return Check(
        name="event-loop",
        run=ask,
        probe=Probe.LIVENESS,
        in_process=True,
        component_type=ComponentType.SYSTEM,
        measurement="lag",
        groups=frozenset({GROUP}),
    )


def configuration_check(at_boot: Verdict, read_now: Callable[[], Verdict]) -> Check:
    """Is the environment fit to run?

    What turns bad after boot, such as a rotated file, only warns: the process works on with what it
    read, and a shared mistake must not take every replica out of service.
    """

    @check("configuration", GROUP, measurement="findings")
    async def ask() -> CheckResult:
        now = read_now()
        active = sum(finding.is_active for finding in now.findings)
        if at_boot.refused:
            return failed("configuration.refused", active)
        if now.refused or now.has(Severity.ERROR):
            return warned("configuration.invalid", active)
        return passed(active)

    return ask


def disk_check(directory: Path) -> Check:
    """Has the embedded server room to write?"""

    # What is free does not flicker.
    @check(
        "disk",
        GROUP,
        critical=False,
        component_type=ComponentType.SYSTEM,
        measurement="free",
        fail_after=1,
        interval_seconds=10.0,
        max_age_seconds=60.0,
    )
    def ask() -> CheckResult:
        free = shutil.disk_usage(directory).free
        if free < DISK_FAIL_BYTES:
            return failed("disk.full", free, "By")
        if free < DISK_WARN_BYTES:
            return warned("disk.low", free, "By")
        return passed(free, "By")

    return ask


def telemetry_check(count_losses: Callable[[], int]) -> Check:
    """Is telemetry being dropped, by any process? It never fails: the work goes on without."""
    lost_before = count_losses()
    told_mono = float("-inf")

    @check("telemetry", GROUP, critical=False, measurement="dropped")
    async def ask() -> CheckResult:
        nonlocal lost_before, told_mono
        lost = count_losses()
        if lost > lost_before:
            told_mono = time.monotonic()
        # A process that was started again counts from 0.
        lost_before = lost
        if time.monotonic() - told_mono < TELEMETRY_MEMORY_SECONDS:
            return warned("telemetry.dropping", lost)
        return passed(lost)

    return ask
