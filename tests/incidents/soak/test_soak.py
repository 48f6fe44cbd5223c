"""A steady load for long: what the processes hold stays what it is.

Half an hour of it: `make soak`. The short run finds what leaks with every request.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from tests.incidents.drills.webhook import Sink
from tests.incidents.health_prober import probing
from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import Program, environment, ready_service
from tests.incidents.soak.application import NAME
from tests.incidents.soak.gauge import Gauge
from tests.incidents.soak.growth import fit, tabulate, warm_up_seconds
from tests.incidents.soak.visitor import scrape, view, visit
from tests.port import free_port

REPOSITORY: Final = Path(__file__).parents[3]
PROBES_PER_SECOND: Final = 5
POISON_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 60.0
RETRY: Final = (
    "UPDATE sidecar.dead_letters SET retry_at = now() WHERE resolution IS NULL RETURNING id"
)
OPEN_LETTERS: Final = "SELECT count(*) FROM sidecar.dead_letters WHERE resolution IS NULL"


@pytest.mark.timeout(0)
async def test_nothing_grows_under_a_steady_load(
    tmp_path: Path,
    database: str,
    ledger: Ledger,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds: float = request.config.getoption("--soak-seconds")
    port, collector = free_port(), Sink()
    environ = {
        "SIDECAR_APP_AGENT_URL": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces",
    }
    await collector.start()
    with selling(tmp_path, port, DATABASE_URL=database, **environ) as application:
        async with ready_service(tmp_path, database, **environ) as program:
            worker = (await program.worker())["pid"]
            gauge = Gauge(
                {"probe": program.process.pid, "worker-1": worker, NAME: application.pid}, ledger
            )
            async with loaded(program, ledger):
                await gauge.run(seconds)
            assert (await program.worker())["restarts"] == 0
    await collector.stop()
    growths = fit(gauge.samples, warm_up_seconds(seconds))
    with capsys.disabled():
        Console(width=100).print(tabulate(growths, f"{seconds:g} s under load"))
    assert [one for one in growths if not one.holds] == []


@contextmanager
def selling(folder: Path, port: int, **environ: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the application for the length of the block."""
    words = (sys.executable, "-m", "tests.incidents.soak.application", str(port))
    with (folder / "application.log").open("ab") as log:
        application = subprocess.Popen(
            words,
            cwd=folder,
            env=environment(folder, **{**environ, "PYTHONPATH": str(REPOSITORY)}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield application
        assert application.poll() is None, (folder / "application.log").read_text()
    finally:
        application.kill()
        application.wait()


@asynccontextmanager
async def loaded(program: Program, ledger: Ledger) -> AsyncIterator[None]:
    """Let all come who come in a year; one that fails, fails the test."""
    async with probing(program, "/health", "/ready", per_second=PROBES_PER_SECOND) as probers:
        async with ledger.paying(), asyncio.TaskGroup() as group:
            visitors = [group.create_task(come(program)) for come in (scrape, visit, view, view)]
            visitors.append(group.create_task(poison(ledger)))
            yield
            for visitor in visitors:
                visitor.cancel()
        assert [set(prober.statuses) for prober in probers] == [{200}, {200}]


async def poison(ledger: Ledger) -> None:
    """Now and then park a stream, cure it, and have it retried, until cancelled."""

    async def is_parked() -> bool:
        return bool(await ledger.value(OPEN_LETTERS) == 1)

    async def is_resumed() -> bool:
        return bool(await ledger.value(OPEN_LETTERS) == 0)

    while True:
        await ledger.pay("bad", memo="poison")
        await ledger.pay("bad", 2)
        await eventually(is_parked, PATIENCE_SECONDS)
        await ledger.query("INSERT INTO cured VALUES ('bad') RETURNING 1")
        await ledger.query(RETRY)
        await eventually(is_resumed, PATIENCE_SECONDS)
        await ledger.query("DELETE FROM cured RETURNING 1")
        await asyncio.sleep(POISON_SECONDS)
