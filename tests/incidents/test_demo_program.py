import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.incidents.patience import eventually
from tests.incidents.program import Program, launch
from tests.incidents.tool import find_tool
from tests.port import free_port

BOOT_SECONDS = 60.0
CURE_SECONDS = 40.0
END_SECONDS = 5.0
FAILURES = "sidecar_projection_failures_total"


@asynccontextmanager
async def running_demo(folder: Path, *options: str) -> AsyncIterator[Program]:
    """Start the demo in an empty folder, wait until it is ready, and end it afterwards."""
    port = str(free_port())
    async with launch(folder, "demo", "--port", port, *options) as program:
        program.address = f"http://127.0.0.1:{port}"
        await eventually(program.is_ready, BOOT_SECONDS)
        yield program


@pytest.mark.timeout(150)
async def test_the_demo_shows_a_failure_contained_and_cured_and_ends_at_once(
    tmp_path: Path,
) -> None:
    async with running_demo(tmp_path, "--rate", "20", "--poison-every", "5") as program:
        await expect_orders(program)
        await expect_failure(program)
        await expect_others_go_on(program)
        await expect_cure(program)
        # Shop, worker and server, and the guard that stops the server.
        assert len(program.family.members()) > 4
        program.send(signal.SIGINT)
        assert await program.wait(END_SECONDS) == 0
        await program.family.assert_gone(1.0)
        assert "Traceback" not in program.output()


async def expect_orders(program: Program) -> None:
    async def count() -> int:
        counts = re.findall(r"(\d+) orders in the read model", program.output())
        return int(counts[-1]) if counts else 0

    await eventually(count, 30.0)


async def expect_failure(program: Program) -> None:
    critical = await program.line("sidecar.projections.failed")
    assert critical["level"] == "CRITICAL"
    assert critical["projections"] == ["shipping_labels"]

    async def is_counted() -> bool:
        return await program.metric(FAILURES, projection="shipping_labels") > 0

    async def is_shown() -> bool:
        failures = (await program.status())["failures"]
        return {failure["projection"] for failure in failures} == {"shipping_labels"}

    await eventually(is_counted)
    await eventually(is_shown)
    assert "could not apply OrderPlaced" in program.output()
    assert await program.is_ready()


async def expect_others_go_on(program: Program) -> None:
    async def positions() -> dict[str, int]:
        shown = (await program.status())["projections"]
        return {projection["name"]: projection["position"] for projection in shown}

    before = await positions()
    assert before.keys() == {"order_totals", "country_revenue", "shipping_labels"}

    async def have_moved() -> bool:
        now = await positions()
        return all(now[name] > before[name] for name in before)

    await eventually(have_moved)
    for name in ("order_totals", "country_revenue"):
        assert await program.metric(FAILURES, projection=name) == 0


async def expect_cure(program: Program) -> None:
    async def is_told() -> bool:
        told = r"Dead letter \d+ .*shipping_labels took stream .* up again"
        return re.search(told, program.output()) is not None

    await eventually(is_told, CURE_SECONDS)


async def test_the_metrics_of_the_demo_pass_promtool(tmp_path: Path) -> None:
    promtool = find_tool("promtool")
    async with running_demo(tmp_path) as program:

        async def is_merged() -> bool:
            text = (await program.get("/metrics")).text
            return all(f'process="{name}"' in text for name in ("probe", "worker-1", "app-1"))

        await eventually(is_merged)
        metrics = await program.get("/metrics")
        assert lint(promtool, metrics.text) == []
        samples = [line for line in metrics.text.splitlines() if not line.startswith("#")]
        assert all('service="shop",process="' in line for line in samples)


def lint(promtool: str, metrics: str) -> list[str]:
    """Return what promtool finds wrong."""
    done = subprocess.run(
        [promtool, "check", "metrics"], input=metrics, capture_output=True, text=True, check=False
    )
    # Semantic conventions name this gauge; promtool takes its end for that of a histogram.
    complaints = (done.stdout + done.stderr).splitlines()
    return [line for line in complaints if "db_client_connection_count" not in line]


async def test_a_demo_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as program:
        await program.kill()
        await program.family.assert_gone(END_SECONDS)
