"""`sidecar demo`: the shop in a separate process, watched by the same `serve` as any service."""

import asyncio
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from sidecar.config import environ as environment
from sidecar.demo.narrator import Narrator, summarize
from sidecar.demo.office import Office
from sidecar.telemetry.terminal import Screen
from sidecar.wiring.access import address_of, link_for
from sidecar.wiring.boot import Boot, prepare
from sidecar.wiring.probe_process import ProbeProcess
from sidecar.wiring.serve import serve

TARGET: Final = "sidecar.demo.shop:publisher"
POLL_SECONDS: Final = 1.0
SUMMARY_SECONDS: Final = 10.0
CURE_SECONDS: Final = 15.0
SHOP_STOP_SECONDS: Final = 2.0

# The demo always runs as on a development machine, and must never touch the database of
# DATABASE_URL.
_ENVIRONMENT: Final = {"ENVIRONMENT": "development", "DATABASE_URL": "", "DATABASE_URL_FILE": ""}
_DEFAULTS: Final = {
    "OTEL_SERVICE_NAME": "shop",
    "SIDECAR_LOG_LEVEL": "CRITICAL",
    "SIDECAR_LOG_FORMAT": "text",
}


async def perform(*, port: int | None, rate: float, poison_every_seconds: float) -> int:
    """Run the demo until Ctrl-C and return the exit code."""
    agent_port = _free_port()
    boot = _prepare(agent_port).with_address(None, port)
    show = Show(boot, rate, poison_every_seconds, agent_port)
    return await serve(boot, target=TARGET, workers=boot.settings.workers, beside=show.run)


def _prepare(agent_port: int) -> Boot:
    given = environment.inherit()
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in given}
    agent = {"SIDECAR_APP_AGENT_URL": f"http://127.0.0.1:{agent_port}"}
    return prepare("probe", {**defaults, **agent, **_ENVIRONMENT})


@dataclass(frozen=True, slots=True)
class Show:
    """What runs beside the probe process: the shop, its repair, and the narration."""

    boot: Boot
    rate: float
    poison_every_seconds: float
    agent_port: int
    screen: Screen = field(default_factory=Screen)
    narrator: Narrator = field(default_factory=Narrator)

    async def run(self, dsn: str, probe: ProbeProcess) -> None:
        """Keep the shop open and describe what happens, until cancelled."""
        self._print_addresses(probe)
        shop = await self._open_shop(dsn)
        try:
            await self._narrate(dsn, probe)
        finally:
            await _close_shop(shop)

    def _print_addresses(self, probe: ProbeProcess) -> None:
        url = address_of(self.boot.settings.host, self.boot.settings.port)
        # A link opens the pages to anyone who has it: for this terminal only, never for a file.
        token = probe.token if self.screen.is_terminal else None
        link = None if token is None else link_for(token, url)
        if link is None:
            self.screen.say("  `sidecar token --link` prints a link to the status page.")
        for address, text in (
            (link or f"{url}/", "the status page"),
            (f"{url}/ready", "what a load balancer asks"),
            (f"{url}/metrics", "what Prometheus reads: look for sidecar_projection_failures_total"),
            (f"{url}/config-report", "what is right and wrong with the environment"),
        ):
            self.screen.say("  ", (address, "bold"), f"  {text}")
        self.screen.say(f"  The shop takes {self.rate:g} orders a second. Ctrl-C ends it all.")
        if self.poison_every_seconds:
            self.screen.say(
                f"  About every {self.poison_every_seconds:g} s one goes to a country without a "
                "shipping rate:"
            )
            self.screen.say("  projection shipping_labels fails on it, the other two go on.")
        self.screen.say("  SIDECAR_LOG_LEVEL=INFO shows every log line.")

    async def _open_shop(self, dsn: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar.demo.till"),
            *("--rate", str(self.rate)),
            *("--poison-every", str(self.poison_every_seconds)),
            *("--agent-port", str(self.agent_port)),
            stdin=asyncio.subprocess.PIPE,
            env=self.boot.child_environ(DATABASE_URL=dsn),
            start_new_session=True,
        )

    async def _narrate(self, dsn: str, probe: ProbeProcess) -> None:
        office = Office(dsn, CURE_SECONDS)
        summary_mono = time.monotonic()
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                for country in await office.work():
                    self._print(
                        f"The office added a shipping rate for {country} and asked for a retry, "
                        "as `sidecar dead-letters retry` does."
                    )
                snapshot = probe.take_snapshot()
                for sentence in self.narrator.describe(snapshot):
                    self._print(sentence)
                if time.monotonic() - summary_mono > SUMMARY_SECONDS:
                    summary_mono = time.monotonic()
                    self._print(summarize(snapshot, office.orders))
        finally:
            office.close()

    def _print(self, sentence: str) -> None:
        self.screen.say(f"{time.strftime('%H:%M:%S')} {sentence}")


async def _close_shop(shop: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        shop.terminate()
    try:
        async with asyncio.timeout(SHOP_STOP_SECONDS):
            await shop.wait()
    except TimeoutError:
        shop.kill()
        await shop.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
