"""The checks of the probe process, each a small question to what is known in memory."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from sidecar.config.finding import Severity
from sidecar.config.verdict import Verdict
from sidecar.errors import StoreUnavailableError
from sidecar.health.check import Check, ComponentType, Probe
from sidecar.health.outcome import CheckResult, failed, passed, warned
from sidecar.postgres.ping import Ping
from sidecar.postgres.watch import Watch
from sidecar.process.listener import AgentListener
from sidecar.process.pulse import Pulse
from sidecar.process.supervisor import Supervisor, WorkerState
from sidecar.projections.standing import Standing, Status

# A probe process whose loop is this late for seconds on end is stuck, and a restart would help.
LOOP_LAG_LIMIT_SECONDS: Final = 5.0
AGENT_SILENCE_LIMIT_SECONDS: Final = 2.0
HOLD_LIMIT_SECONDS: Final = 10.0


def loop_check(pulse: Pulse) -> Check:
    """Does the event loop turn?"""

    async def ask() -> CheckResult:
        lag = pulse.lag_seconds
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
    )


def configuration_check(verdict: Verdict) -> Check:
    """Is the environment fit to run?"""
    active = sum(finding.is_active for finding in verdict.findings)

    async def ask() -> CheckResult:
        if verdict.refused:
            return failed("configuration.refused", active)
        if any(f.is_active and f.severity is Severity.ERROR for f in verdict.findings):
            return warned("configuration.invalid", active)
        return passed(active)

    return Check(name="configuration", run=ask, measurement="findings")


def postgres_check(ping: Ping) -> Check:
    """Does the server answer?"""

    async def ask() -> CheckResult:
        began_mono = time.monotonic()
        try:
            await ping.ask()
        except StoreUnavailableError:
            return failed("postgres.unreachable")
        return passed(time.monotonic() - began_mono, "s")

    return Check(
        name="postgres",
        run=ask,
        component_type=ComponentType.DATASTORE,
        measurement="response-time",
        timeout_seconds=1.0,
    )


def migrations_check(watch: Watch) -> Check:
    """Is the schema at head?"""

    async def ask() -> CheckResult:
        pending = watch.pending_migrations
        if pending is None:
            return warned("migrations.unknown")
        if pending:
            return failed("migrations.pending", len(pending))
        return passed(0)

    return Check(name="migrations", run=ask, measurement="pending", recover_after=1)


def store_check(watch: Watch) -> Check:
    """Does the safe head advance?"""

    async def ask() -> CheckResult:
        sample = watch.sample
        if sample is None:
            return failed("event-store.unseen")
        if sample.held_seconds > HOLD_LIMIT_SECONDS:
            return warned("event-store.held", sample.held_seconds, "s")
        return passed(sample.safe_head)

    return Check(
        name="event-store",
        run=ask,
        critical=False,
        component_type=ComponentType.DATASTORE,
        measurement="safe-head",
    )


def workers_check(supervisor: Supervisor) -> Check:
    """Do all workers answer?"""

    async def ask() -> CheckResult:
        states = [worker.state for worker in supervisor.workers]
        running = states.count(WorkerState.RUNNING)
        if running == len(states):
            return passed(running)
        silent = WorkerState.SILENT in states
        return failed("workers.silent" if silent else "workers.down", running)

    return Check(name="workers", run=ask, critical=False, measurement="running", fail_after=2)


def agent_check(listener: AgentListener) -> Check:
    """Does the application's event loop turn?"""

    async def ask() -> CheckResult:
        silent_seconds = listener.silent_seconds()
        if silent_seconds is None:
            return failed("application.unreachable")
        if silent_seconds > AGENT_SILENCE_LIMIT_SECONDS:
            return failed("application.silent", silent_seconds, "s")
        return passed(silent_seconds, "s")

    return Check(name="application", run=ask, measurement="silence", fail_after=1, recover_after=1)


def projection_check(
    name: str, check_name: str, find: Callable[[str], Standing | None], lag_limit_seconds: float
) -> Check:
    """Is this read model kept up?

    Args:
        name: The projection's.
        check_name: The check's, in kebab case.
        find: Returns how the projection stands; None when that is not known now.
        lag_limit_seconds: Lag above which to warn.
    """

    async def ask() -> CheckResult:
        standing = find(name)
        if standing is None:
            return failed(f"{check_name}.unseen")
        return judge_standing(check_name, standing, lag_limit_seconds)

    return Check(name=check_name, run=ask, critical=False, measurement="lag", fail_after=2)


def judge_standing(check_name: str, standing: Standing, lag_limit_seconds: float) -> CheckResult:
    """Turn how a projection stands into a check's answer."""
    lag_seconds = standing.lag_seconds
    if standing.status in {Status.FAILED, Status.STALLED, Status.UNOWNED}:
        return failed(f"{check_name}.{standing.status.value}", lag_seconds, "s")
    if standing.dead_letters:
        return warned(f"{check_name}.dead-letters", lag_seconds, "s")
    if standing.status is Status.PAUSED:
        return warned(f"{check_name}.paused", lag_seconds, "s")
    if lag_seconds > lag_limit_seconds and standing.status is not Status.REBUILDING:
        return warned(f"{check_name}.late", lag_seconds, "s")
    return passed(lag_seconds, "s")


def name_checks(projections: Sequence[str]) -> dict[str, str]:
    """Return a check name in kebab case for each projection, without a clash."""
    named: dict[str, str] = {}
    for projection in projections:
        base = "projection-" + _kebab(projection)
        name, number = base, 1
        while name in named.values():
            number += 1
            name = f"{base}-{number}"
        named[projection] = name
    return named


def _kebab(name: str) -> str:
    """`OrderTotals` and `order_totals` both become `order-totals`."""
    spaced = "".join(
        f"-{letter}" if letter.isupper() and before.islower() else letter
        for before, letter in zip(" " + name, name, strict=False)
    )
    words = "".join(c if c.isascii() and c.isalnum() else "-" for c in spaced.lower()).split("-")
    return "-".join(word for word in words if word) or "unnamed"
