"""Checks of other processes: workers, the application, and the pools in both."""

import time
from collections.abc import Callable
from typing import Final

from sidecar.health.check import Check
from sidecar.health.duration import lasted_seconds, since
from sidecar.health.outcome import CheckResult, Outcome, failed, passed, warned
from sidecar.process.listener import AgentListener, Hearing, PortProbe
from sidecar.process.supervisor import Supervisor, WorkerState
from sidecar.wiring.told import CheckTold, PoolTold, checks_told, loop_lag_told

AGENT_SILENCE_LIMIT_SECONDS: Final = 2.0
LOOP_LAG_LIMIT_SECONDS: Final = 1.0
CLIENT_ERROR: Final = 400
SERVER_ERROR: Final = 500
# A burst fills a pool for a moment; what lasts this long makes requests wait.
POOL_WARN_SECONDS: Final = 10.0
POOL_FAIL_SECONDS: Final = 60.0

GROUP: Final = frozenset({"application"})


def workers_check(supervisor: Supervisor) -> Check:
    """Do all workers answer?"""

    async def ask() -> CheckResult:
        states = [worker.state for worker in supervisor.workers]
        if all(worker.is_new for worker in supervisor.workers):
            return CheckResult(Outcome.UNKNOWN, "workers.starting")
        running = states.count(WorkerState.RUNNING)
        if running == len(states):
            return passed(running)
        silent = WorkerState.SILENT in states
        return failed("workers.silent" if silent else "workers.down", running)

    return Check(
        name="workers",
        run=ask,
        critical=False,
        measurement="running",
        fail_after=2,
        groups=frozenset({"workers"}),
    )


def application_check(agent: AgentListener | None, port: PortProbe | None) -> Check:
    """Does the application answer on its own port, and does its event loop turn?"""

    async def ask() -> CheckResult:
        heard = [judge_hearing(each.hearing) for each in (port, agent) if each is not None]
        wrong = [result for result in heard if result.outcome is not Outcome.PASS]
        if wrong:
            return wrong[0]
        if port is not None and port.status is not None and port.status >= CLIENT_ERROR:
            return judge_status(port.status)
        lag_seconds = 0.0 if agent is None else loop_lag_told(agent.heartbeat)
        if lag_seconds > LOOP_LAG_LIMIT_SECONDS:
            return warned("application.late", lag_seconds, "s")
        return heard[-1]

    return Check(
        name="application",
        run=ask,
        measurement="silence",
        fail_after=1,
        recover_after=1,
        interval_seconds=0.5,
        groups=GROUP,
    )


def judge_status(status: int) -> CheckResult:
    """Turn an error of the application's into an answer.

    What it refuses to us, it may grant to its clients: the path may be guarded, or wrong.
    """
    if status >= SERVER_ERROR:
        return failed("application.failing", status)
    return warned("application.refusing", status)


def judge_hearing(hearing: Hearing) -> CheckResult:
    """Turn when the application was last heard into an answer.

    Nobody listening is a fact at once; a late answer becomes one when it has lasted.
    """
    if not hearing.is_asked:
        return CheckResult(Outcome.UNKNOWN, "application.unheard")
    if hearing.is_unreachable:
        return failed("application.unreachable")
    silent_seconds = hearing.silent_seconds()
    if silent_seconds is None or silent_seconds > AGENT_SILENCE_LIMIT_SECONDS:
        return failed("application.silent", silent_seconds, "s")
    return passed(silent_seconds, "s")


def told_check(about: CheckTold, agent: AgentListener) -> Check:
    """What does the application's own check say? It damps itself; here it is only passed on."""

    async def ask() -> CheckResult:
        told = checks_told(agent.heartbeat).get(about.name)
        if told is None or judge_hearing(agent.hearing).outcome is not Outcome.PASS:
            return CheckResult(Outcome.UNKNOWN, f"{about.name}.unheard")
        return told.result

    return Check(
        name=about.name,
        run=ask,
        critical=about.critical,
        fail_after=1,
        recover_after=1,
        interval_seconds=0.5,
        measurement=about.measurement,
        groups=frozenset(about.groups) | GROUP,
    )


def pool_check(name: str, read: Callable[[], PoolTold | None]) -> Check:
    """Is a connection pool used up for long, or does it leak? One full moment is no news."""
    started_mono: float | None = None

    async def ask() -> CheckResult:
        nonlocal started_mono
        pool = read()
        if pool is None:
            return CheckResult(Outcome.UNKNOWN, f"{name}.unheard")
        now_mono = time.monotonic()
        full = pool.used >= pool.max and pool.pending > 0
        started_mono = since(started_mono, now_mono, holds=full)
        seconds = lasted_seconds(started_mono, now_mono)
        if seconds > POOL_FAIL_SECONDS:
            return failed(f"{name}.exhausted", seconds, "s")
        if seconds > POOL_WARN_SECONDS:
            return warned(f"{name}.saturated", seconds, "s")
        if pool.leaks:
            return warned(f"{name}.leaking", pool.leaks)
        return passed(pool.used)

    return Check(
        name=name,
        run=ask,
        critical=False,
        measurement="saturation",
        fail_after=1,
        groups=frozenset({"pools"}),
    )
