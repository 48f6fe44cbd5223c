from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar

from sidecar.config.secret import Secret
from sidecar.health.check import Check, Probe
from sidecar.health.monitor import Monitor
from sidecar.health.outcome import CheckResult, passed
from sidecar.health.phase import Phase
from sidecar.health.probe_answers import ProbeAnswers
from sidecar.web.app import Sources, build
from sidecar.web.server import Listener, serve

Tell = Callable[..., None]
STORAGE = frozenset({"storage"})
Start = Callable[..., Awaitable[Listener]]


async def never_asked() -> CheckResult:
    return passed()


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(mono=0.0)


@pytest.fixture
def answers(clock: SimpleNamespace) -> ProbeAnswers:
    monitor = Monitor(
        [
            Check(name="loop", run=never_asked, probe=Probe.LIVENESS, in_process=True),
            Check(name="postgres", run=never_asked, fail_after=1, groups=STORAGE),
            Check(name="disk", run=never_asked, fail_after=1, critical=False, groups=STORAGE),
        ],
        clock=lambda: float(clock.mono),
    )
    return ProbeAnswers(monitor, clock=lambda: float(clock.mono))


@pytest.fixture
def tell(answers: ProbeAnswers) -> Tell:
    """Put answers of checks in, as their loops would."""

    def put(**results: CheckResult) -> None:
        for name, result in results.items():
            answers.monitor._take(answers.monitor._states[name], result)

    return put


@pytest.fixture
def ready(answers: ProbeAnswers, tell: Tell) -> ProbeAnswers:
    answers.enter(Phase.RUNNING)
    tell(loop=passed(), postgres=passed(1.5, "ms"), disk=passed())
    return answers


@pytest.fixture
def snapshot() -> dict[str, Any]:
    return {
        "service": "shop",
        "version": "1.2.3",
        "phase": "running",
        "ready": True,
        "verdict": "Ready: 3 checks pass and 2 projections keep up.",
        "checks": [{"name": "postgres", "outcome": "pass", "reason": "", "critical": True}],
        "projections": [
            {
                "name": "totals",
                "status": "running",
                "position": 42,
                "lag_events": 7,
                "lag_seconds": 0.25,
                "dead_letters": 1,
                "parked_streams": 0,
                "owner": "worker-1",
                "heartbeat_age_seconds": 0.1,
                "last_failure": {"error_type": "KeyError", "stream": "order-1", "at": "now"},
            }
        ],
        "workers": [{"name": "worker-1", "state": "running", "pid": 4711, "restarts": 0}],
        "pool": {"used": 3, "max": 20},
        "findings": [{"id": "SEC01", "severity": "warning", "hint": "Run sidecar secret."}],
        "failures": [{"projection": "totals", "position": 41, "error_type": "KeyError"}],
    }


@pytest.fixture
def sources(ready: ProbeAnswers, snapshot: dict[str, Any]) -> Sources:
    async def collect(accept: str) -> tuple[bytes, str]:
        kind = "openmetrics-text" if "openmetrics" in accept else "plain"
        return kind.encode(), f"text/{kind}; charset=utf-8"

    return Sources(
        answers=ready,
        collect_metrics=collect,
        take_report=lambda: {"status": "ok", "findings": []},
        take_snapshot=lambda: snapshot,
        service="shop",
        version="1.2.3",
        token=Secret("correct-horse"),
    )


@pytest.fixture
async def start(sources: Sources) -> AsyncIterator[Start]:
    """Start a server on a free port, with parts of its sources replaced."""
    listeners: list[Listener] = []

    async def open_one(**changes: object) -> Listener:
        changed = replace(sources, **changes)  # type: ignore[arg-type]
        listeners.append(await serve(build(changed), "127.0.0.1", 0))
        return listeners[-1]

    yield open_one
    for listener in listeners:
        await listener.close()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
async def browser() -> AsyncIterator[ClientSession]:
    """Keep cookies, also those of an address."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield session
