"""Prometheus and Alertmanager as Debian ships them, around a program that runs."""

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.incidents.drills.shortening import SPEED, write_all
from tests.incidents.drills.webhook import HEARTBEAT, Receiver, listening
from tests.incidents.patience import eventually
from tests.incidents.tool import find_tool
from tests.port import free_port

START_SECONDS: Final = 60.0
PAST: Final = "service_projection:sidecar_projection_stale:bool"
PAST_SECONDS: Final = 6 * 3600 // SPEED
PROJECTIONS: Final = ("order_totals", "country_revenue", "shipping_labels")


class Watchtower:
    """What both know, and what reached the receiver of their messages."""

    def __init__(self, http: ClientSession) -> None:
        self.receiver: Final = Receiver()
        self.prometheus: Final = f"http://127.0.0.1:{free_port()}"
        self.alertmanager: Final = f"http://127.0.0.1:{free_port()}"
        self.http: Final = http

    async def query(self, expr: str) -> list[Any]:
        """Ask Prometheus, and give what it answers with."""
        answer = await self._get(f"{self.prometheus}/api/v1/query", query=expr)
        assert answer["status"] == "success", answer
        result: list[Any] = answer["data"]["result"]
        return result

    async def active(self) -> dict[str, str]:
        """Give the state, `active` or `suppressed`, of each alert that Alertmanager has."""
        alerts = await self._get(f"{self.alertmanager}/api/v2/alerts")
        told = {alert["labels"]["alertname"]: alert["status"]["state"] for alert in alerts}
        return {name: state for name, state in told.items() if name != HEARTBEAT}

    async def is_up(self) -> bool:
        return all([await self._answers(one) for one in (self.prometheus, self.alertmanager)])

    async def is_measured(self) -> bool:
        return bool(await self.query("service:sidecar_deliveries:increase1h > 0"))

    async def _answers(self, url: str) -> bool:
        try:
            async with self.http.get(f"{url}/-/ready") as answer:
                return answer.status == 200
        except (ClientError, OSError, TimeoutError):
            return False

    async def _get(self, url: str, **parameters: str) -> Any:
        async with self.http.get(url, params=parameters) as answer:
            return await answer.json()


@asynccontextmanager
async def watching(folder: Path, port: int) -> AsyncIterator[Watchtower]:
    """Watch the program at a port, which is up already: one that is not yet there is down."""
    async with ClientSession(timeout=ClientTimeout(total=5.0)) as http:
        tower = Watchtower(http)
        async with listening(tower.receiver.take) as webhook:
            write_all(
                folder,
                target=f"127.0.0.1:{port}",
                alertmanager=tower.alertmanager.removeprefix("http://"),
                webhook=webhook,
            )
            with ExitStack() as stack:
                stack.enter_context(_running(folder, *_alertmanager(folder, tower)))
                await asyncio.to_thread(remember, folder)
                stack.enter_context(_running(folder, *_prometheus(folder, tower)))
                await eventually(tower.is_up, START_SECONDS)
                await eventually(tower.is_measured, START_SECONDS)
                yield tower


def remember(folder: Path) -> None:
    """Give Prometheus a past in which no projection was ever late.

    A budget is weighed over hours: with a past of seconds, a minute's lag would burn all of it.
    """
    now = int(time.time())
    lines = [
        f'{PAST}{{service="shop",projection="{projection}"}} 0 {now - second}'
        for projection in PROJECTIONS
        for second in range(PAST_SECONDS, 0, -1)
    ]
    text = folder / "past.txt"
    text.write_text("\n".join([*lines, "# EOF", ""]))
    blocks = ("tsdb", "create-blocks-from", "openmetrics", text, folder / "prometheus")
    subprocess.run([find_tool("promtool"), *blocks], check=True, capture_output=True)


def _alertmanager(folder: Path, tower: Watchtower) -> tuple[str, ...]:
    return (
        "prometheus-alertmanager",
        f"--config.file={folder / 'alertmanager.yaml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={tower.alertmanager.removeprefix('http://')}",
        "--cluster.listen-address=",
    )


def _prometheus(folder: Path, tower: Watchtower) -> tuple[str, ...]:
    return (
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={tower.prometheus.removeprefix('http://')}",
        # An alert that fires before Alertmanager is known is sent again after this.
        "--rules.alert.resend-delay=3s",
    )


@contextmanager
def _running(folder: Path, name: str, *options: str) -> Iterator[None]:
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen([find_tool(name), *options], cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
