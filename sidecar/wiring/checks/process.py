"""Checks of other processes: workers, the application, and the pools in both."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from sidecar.health.check import Check
from sidecar.health.duration import Stretch
from sidecar.health.outcome import CheckResult, Outcome, failed, passed, warned
from sidecar.health.registry import CheckOptions
from sidecar.health.verdict import severity
from sidecar.postgres.schema import current_schema
from sidecar.process.agent_poller import Contact, PortProbe
from sidecar.process.application import Application
from sidecar.process.heartbeat import CheckReport
from sidecar.process.supervisor import Supervisor
from sidecar.process.worker_place import WorkerState
from sidecar.telemetry.pool_metrics import PoolReport
from sidecar.wiring.checks import check

AGENT_SILENCE_LIMIT_SECONDS: Final = 2.0
LOOP_LAG_LIMIT_SECONDS: Final = 1.0
CLIENT_ERROR: Final = 400
SERVER_ERROR: Final = 500
# A burst fills a pool for a moment; what lasts this long makes requests wait.
POOL_WARN_SECONDS: Final = 10.0
POOL_FAIL_SECONDS: Final = 60.0

GROUP: Final = "application"

_DETAILS: Final = {
    "application.unheard": "{} has not been asked yet.",
    "application.starting": "A process of the application has begun, and has not answered yet.",
    "application.silent": "{} does not answer: an event loop is stuck, or a process is stopped.",
    "application.unreachable": "Nobody listens at {}, or whoever does hangs up: see its log.",
    "application.ended": "The last process ended in good order; start the application again.",
    "application.lost": "{} ended without a word, as what is killed does. See the application's "
    "log and, for a lack of memory, the kernel's.",
    "application.limited": "Agents go on without their {}; the application's log says why.",
    "application.elsewhere": "It appends to the schema {}, and this sidecar follows another one: "
    "give both the same SIDECAR_SCHEMA.",
    "application.left-out": "Checks, pools, subscribers or processes are not shown: there are too "
    "many, or they are not told as an agent tells them.",
    "application.unreadable": "The directory of the agents cannot be read; see this process's log.",
}


def workers_check(supervisor: Supervisor) -> Check:
    """Do all workers answer?"""

    @check("workers", "workers", critical=False, measurement="running", fail_after=2)
    async def ask() -> CheckResult:
        states = [worker.state for worker in supervisor.workers]
        if all(worker.is_new for worker in supervisor.workers):
            return CheckResult(Outcome.UNKNOWN, "workers.starting")
        running = states.count(WorkerState.RUNNING)
        if running == len(states):
            return passed(running)
        silent = WorkerState.SILENT in states
        return failed("workers.silent" if silent else "workers.down", running)

    return ask


def application_check(application: Application | None, port: PortProbe | None) -> Check:
    """Does the application answer on its own port, and do its event loops turn?"""

    @check("application", GROUP, measurement="silence", interval_seconds=0.5, at_once=True)
    async def ask() -> CheckResult:
        results = [] if port is None else [judge_port(port)]
        if application is not None and application.is_known:
            results.append(judge_application(application, time.monotonic()))
        return next((each for each in results if each.outcome is not Outcome.PASS), results[-1])

    return ask


def judge_port(port: PortProbe) -> CheckResult:
    """Turn what the application answered on its own port into an answer.

    What it refuses to us, it may grant to its clients: the path may be guarded, or wrong.
    """
    result = judge_contact(port.contact)
    if result.outcome is not Outcome.PASS or port.status is None or port.status < CLIENT_ERROR:
        return result
    if port.status >= SERVER_ERROR:
        return failed("application.failing", port.status)
    return warned("application.refusing", port.status)


def judge_application(application: Application, now_mono: float) -> CheckResult:
    """Turn what its agents reported into an answer.

    While one process answers, traffic may come: those that hang take none, or nearly none.
    """
    asked = [(each.name, each) for each in application.members]
    asked += [(each.url, each) for each in application.unheard]
    if not asked and application.is_awaited:
        reason = "application.starting"
        return CheckResult(Outcome.UNKNOWN, reason, detail=_DETAILS[reason])
    if not asked:
        reason = "application.unreachable" if application.has_died else "application.ended"
        return failed(reason, detail=_DETAILS[reason].format("any agent"))
    heard = {name: judge_contact(poller.contact) for name, poller in asked}
    wrong = [result for result in heard.values() if result.outcome is not Outcome.PASS]
    if len(wrong) == len(heard):
        return wrong[0]
    if wrong:
        reason = wrong[0].reason
        return _warn_of(reason, [name for name, each in heard.items() if each.reason == reason])
    return _find_blemish(application, now_mono) or max(heard.values(), key=_silence)


def _find_blemish(application: Application, now_mono: float) -> CheckResult | None:
    """Say what is wrong though all of them answer; None for nothing."""
    if lost := application.lost(now_mono):
        return _warn_of("application.lost", lost)
    beats = [member.heartbeat for member in application.members]
    if elsewhere := {beat.schema for beat in beats} - {"", current_schema()}:
        return _warn_of("application.elsewhere", sorted(elsewhere))
    lag_seconds = max((beat.loop_lag_seconds for beat in beats), default=0.0)
    if lag_seconds > LOOP_LAG_LIMIT_SECONDS:
        return warned("application.late", lag_seconds, "s")
    # Without one of its sockets an agent is still reached by another.
    limited = {part for beat in beats for part in beat.troubles} - {"socket", "port"}
    if limited:
        return _warn_of("application.limited", sorted(limited))
    left_out = application.left_out + sum(beat.left_out for beat in beats)
    if left_out:
        return warned("application.left-out", left_out, detail=_DETAILS["application.left-out"])
    return _warn_of("application.unreadable", ()) if application.is_unreadable else None


def _warn_of(reason: str, names: Sequence[str]) -> CheckResult:
    joined = ", ".join(names)
    return warned(reason, joined or None, detail=_DETAILS[reason].format(joined))


def _silence(result: CheckResult) -> float:
    return float(result.observed_value or 0.0)


def judge_contact(contact: Contact) -> CheckResult:
    """Turn when the application answered last into an answer.

    Nobody listening is a fact at once; a late answer becomes one when it has lasted.
    """
    if not contact.is_asked:
        return CheckResult(Outcome.UNKNOWN, "application.unheard")
    if contact.is_unreachable:
        return failed("application.unreachable")
    silent_seconds = contact.silent_seconds(time.monotonic())
    if silent_seconds is None or silent_seconds > AGENT_SILENCE_LIMIT_SECONDS:
        return failed("application.silent", silent_seconds, "s")
    return passed(silent_seconds, "s")


def reported_check(about: CheckReport, application: Application) -> Check:
    """What does a check of the application say? It is damped there, and only passed on here."""
    own = CheckOptions(critical=about.critical, measurement=about.measurement, interval_seconds=0.5)

    @check(about.name, GROUP, *about.groups, at_once=True, **own)
    async def ask() -> CheckResult:
        return judge_reported(about.name, application)

    return ask


def judge_reported(name: str, application: Application) -> CheckResult:
    """Return the worst report of the processes that answer; `application` is about the others."""
    results = [
        check.result
        for member in application.members
        if judge_contact(member.contact).outcome is Outcome.PASS
        for check in member.heartbeat.checks
        if check.name == name
    ]
    unheard = CheckResult(Outcome.UNKNOWN, f"{name}.unheard")
    return max(results, key=lambda result: severity(result.outcome), default=unheard)


def pool_check(name: str, read: Callable[[], PoolReport | None]) -> Check:
    """Is a connection pool used up for long, or does it leak? One full moment is no news."""
    full = Stretch()

    @check(name, "pools", critical=False, measurement="saturation", fail_after=1)
    async def ask() -> CheckResult:
        pool = read()
        if pool is None:
            return CheckResult(Outcome.UNKNOWN, f"{name}.unheard")
        seconds = full.lasted_seconds(
            time.monotonic(), holds=pool.used >= pool.max and pool.pending > 0
        )
        if seconds > POOL_FAIL_SECONDS:
            return failed(f"{name}.exhausted", seconds, "s")
        if seconds > POOL_WARN_SECONDS:
            return warned(f"{name}.saturated", seconds, "s")
        if pool.leaks:
            return warned(f"{name}.leaking", pool.leaks)
        return passed(pool.used)

    return ask
