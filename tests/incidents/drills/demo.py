"""The demo as somebody starts it who has just read the README, watched from outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.incidents.drills.watchtower import Watchtower, watching
from tests.incidents.patience import eventually
from tests.incidents.program import launch
from tests.port import free_port

BOOT_SECONDS: Final = 60.0
RATE: Final = "20"


@asynccontextmanager
async def watched_demo(
    folder: Path, *, poison_every_seconds: float, **environ: str
) -> AsyncIterator[Watchtower]:
    """Run `sidecar demo` on its embedded server, in a folder of its own, and watch it."""
    port = free_port()
    options = ("--rate", RATE, "--poison-every", str(poison_every_seconds))
    # Not in pytest's own folder: each further run of pytest closes that to the server's user.
    with TemporaryDirectory(prefix="sidecar-demo-") as home:
        async with launch(
            Path(home), "demo", *options, SIDECAR_PORT=str(port), **environ
        ) as program:
            program.address = f"http://127.0.0.1:{port}"
            await eventually(program.is_ready, BOOT_SECONDS)
            async with watching(folder, port) as tower:
                yield tower
