import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import pytest
from aiohttp import ClientSession

from sidecar.health.check import Check
from sidecar.health.monitor import Monitor
from sidecar.health.outcome import CheckResult, passed
from sidecar.health.phase import Phase
from sidecar.health.probe_answers import ProbeAnswers
from sidecar.process.background import Background
from sidecar.web.app import Sources, build
from sidecar.web.server import serve
from tests.incidents.patience import eventually

BEARER: Final = {"Authorization": "Bearer correct-horse"}
QUICK: Final[dict[str, Any]] = {
    "interval_seconds": 0.02,
    "timeout_seconds": 0.05,
    "max_age_seconds": 0.3,
    "fail_after": 1,
    "critical": False,
}


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def hang() -> CheckResult:
    await asyncio.Event().wait()
    return passed()


async def cling() -> CheckResult:
    """Resist being cancelled, a few times."""
    for _ in range(3):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)
    return passed()


async def blow_up() -> CheckResult:
    raise ConnectionError("password=hunter2")


async def talk_rubbish() -> Any:
    return {"status": "up"}


async def be_well() -> CheckResult:
    return passed()


def leaking(kept: list[bytes]) -> Check:
    async def leak() -> CheckResult:
        kept.append(bytes(10_000))
        asyncio.get_running_loop().create_task(asyncio.sleep(0.01))
        raise MemoryError

    return Check(name="leaking", run=leak, **QUICK)


@asynccontextmanager
async def serving(
    sources: Sources, *checks: Check
) -> AsyncIterator[tuple[str, Monitor, Background]]:
    """Serve a monitor with these checks and a sound critical one."""
    monitor = Monitor([Check(name="sound", run=be_well, **{**QUICK, "critical": True}), *checks])
    answers = ProbeAnswers(monitor)
    answers.enter(Phase.RUNNING)
    listener = await serve(build(replace(sources, answers=answers)), "127.0.0.1", 0)
    try:
        async with Background() as background:
            background.start("monitor", monitor.run)
            yield listener.url, monitor, background
    finally:
        await listener.close()


async def ask(http: ClientSession, url: str) -> tuple[int, dict[str, str]]:
    """Return the status and each check's reason, or its outcome where it has none."""
    async with http.get(url, headers=BEARER) as answer:
        checks = (await answer.json(content_type=None)).get("checks", {})
    told = {name.partition(":")[0]: about for name, [about] in checks.items()}
    return answer.status, {name: each.get("output", each["outcome"]) for name, each in told.items()}


async def test_bad_checks_are_told_and_harm_neither_others_nor_probes(
    sources: Sources, http: ClientSession, released: threading.Event
) -> None:
    def block() -> CheckResult:
        released.wait()
        return passed()

    bad = {"hanging": hang, "clinging": cling, "raising": blow_up, "rubbish": talk_rubbish}
    checks = [Check(name=name, run=run, **QUICK) for name, run in bad.items()]
    checks += [Check(name="blocking", run=block, **QUICK), leaking([])]
    expected = {
        "sound": "pass",
        "hanging": "hanging.timeout",
        "clinging": "clinging.timeout",
        "raising": "raising.error",
        "rubbish": "rubbish.invalid",
        "blocking": "blocking.timeout",
        "leaking": "leaking.error",
    }
    async with serving(sources, *checks) as (url, _, _):

        async def is_told() -> bool:
            return await ask(http, f"{url}/ready") == (200, expected)

        await eventually(is_told, 5.0)
        began_mono = time.monotonic()
        for _ in range(200):
            status, told = await ask(http, f"{url}/ready")
            assert (status, told["sound"]) == (200, "pass")
            assert (await ask(http, f"{url}/health"))[0] == 200
        assert time.monotonic() - began_mono < 5.0
        # One thread for the blocking check, however often it was asked.
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("check-blocking") == 1


async def test_a_killed_loop_is_started_again_and_counted(
    sources: Sources, http: ClientSession
) -> None:
    async with serving(sources) as (url, monitor, _):
        await eventually(lambda: is_answered(http, url, 200))
        loop = monitor._states["sound"].loop
        assert loop is not None
        loop.cancel()

        async def is_restarted() -> bool:
            return monitor.loop_restarts == 1

        await eventually(is_restarted)
        await eventually(lambda: is_answered(http, url, 200))


async def test_a_killed_monitor_turns_unknown_within_its_limit_and_is_started_again(
    sources: Sources, http: ClientSession
) -> None:
    """It is back after a second, so that the limit of 0.3 s passes first."""
    async with serving(sources) as (url, _, background):
        await eventually(lambda: is_answered(http, url, 200))
        [task] = [task for task in asyncio.all_tasks() if task.get_name() == "monitor"]
        task.cancel()
        await eventually(lambda: is_answered(http, url, 503), 1.0)
        assert await ask(http, f"{url}/ready") == (503, {"sound": "sound.stale"})
        assert (await ask(http, f"{url}/health"))[0] == 200
        await eventually(lambda: is_answered(http, url, 200))
        assert background.restarts == {"monitor": 1}


async def is_answered(http: ClientSession, url: str, status: int) -> bool:
    return (await ask(http, f"{url}/ready"))[0] == status
