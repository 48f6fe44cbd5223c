"""The status page in a real browser: nothing blocked, nothing foreign, open to everybody."""

import asyncio
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from sidecar.web.session import login_link

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "build" / "browser"
PACKAGES = ("playwright-core@1.65.1", "axe-core@4.14.1")
EVIL = "<img src=x onerror=alert(1)>"


def find(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
    return path


async def run(*command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def install() -> None:
    if not (MODULES / "node_modules" / "axe-core").exists():
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefix", MODULES)
        await run(find("npm"), "install", *options, *PACKAGES)


def busy(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Give a page on which everything is to be seen, with hostile names."""
    [projection] = snapshot["projections"]
    lags = [None] * 20 + [step % 40 / 4 for step in range(160)]
    more = {"lag_history": lags, "events_per_second": 31.4}
    failure = {"at": "2026-01-02T03:04:05+00:00", "projection": EVIL, "stream": "order-1"}
    last = {"error_type": "InsufficientPrivilegeError", "stream": "order-1", "at": "now"}
    long = {
        "name": "customer_lifetime_value_by_country",
        "status": "failed",
        "owner": "event-sidecar worker-1 lease, event-sidecar worker-2 lease",
        "detail": "a handler needs a right on its table: " + "GRANT INSERT ON order_totals TO " * 3,
        "lag_seconds": 12345.678,
        "lag_events": 1234567,
        "last_failure": last,
        "rebuild": "halted",
        "progress": 0.42,
    }
    checks = [
        {"name": name, "outcome": outcome, "reason": f"{name}.told", "critical": True}
        | {"age_seconds": 0.1, "detail": detail}
        for name, outcome, detail in (
            ("postgres", "pass", None),
            ("projection-customer-lifetime-value-by-country", "warn", "Late. " * 20),
            ("workers", "fail", EVIL),
        )
    ]
    held = {"pid": 99, "application_name": "nightly-report", "state": "idle in transaction"}
    return snapshot | {
        "outcome": "fail",
        "projections": [
            projection | more | {"status": "caught_up"},
            projection | more | {"name": EVIL, "status": "stalled", "detail": EVIL},
            projection | more | long,
        ],
        "checks": checks,
        "trouble": [check for check in reversed(checks) if check["outcome"] != "pass"],
        "workers": [
            {"name": "worker-1", "state": "waiting", "pid": None, "restarts": 12},
            {"name": "worker-2", "state": "running", "pid": 4712, "restarts": 0},
        ],
        "store": {"held_by": [held | {"age_seconds": 12.0}]},
        "pools": [{"name": "shop", "process": "app", "used": 18, "idle": 0, "max": 20}],
        "failures": [
            failure | {"error_type": "KeyError", "command": "sidecar dead-letters retry 7"}
        ],
    }


@pytest.fixture
async def people(start: Any, snapshot: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    await install()
    turns = 0

    def take() -> dict[str, Any]:
        nonlocal turns
        turns += 1
        return busy(snapshot) | {"verdict": f"Ready. Looked at {turns} times. {EVIL}"}

    listener = await start(take_snapshot=take)
    script = Path(__file__).with_name("browser.mjs")
    url = login_link(listener.url, "correct-horse", time.time())
    chromium = find("chromium")
    found: dict[str, Any] = json.loads(
        await run(find("node"), script, MODULES, chromium, url, tmp_path)
    )
    return found | {"host": listener.url.removeprefix("http://")}


@pytest.mark.timeout(120)
async def test_everybody_can_use_the_page(people: dict[str, Any]) -> None:
    host = people.pop("host")
    assert people.keys() == {"light", "dark", "phone", "scriptless"}
    for name, found in people.items():
        assert found["complaints"] == [], name
        assert found["hosts"] == [host], name
        assert found["alerts"] == 0
        assert EVIL in found["verdict"]
        assert not found["scrollsSideways"], name
        assert found["cutOff"] == [], name
    for name in ("light", "dark", "phone"):
        assert people[name]["violations"] == [], name
        assert people[name]["passes"] > 20
        assert people[name]["focused"] == "Projections"
        assert people[name]["title"] == "shop: ready, failing"
