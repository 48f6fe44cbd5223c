"""One sidecar's place: the program in it changes, its name stays."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import psutil

from tests.incidents.program import Program, serve

TARGET: Final = "tests.incidents.chaos.service:fragile"
SERVICE: Final = "books"
ORPHAN_SECONDS: Final = 8.0


class Seat:
    """Where a `sidecar serve` runs, is killed, and is started again.

    Attributes:
        lock: Held by whoever replaces the program or stops its workers.
        program: None between two.

    Args:
        folder: Where it runs and logs; also names it, and its role at the server.
        environ: Of each of its programs.
        places: How many workers it starts.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], places: int) -> None:
        self.name: Final = folder.name
        self.places: Final = places
        self.lock: Final = asyncio.Lock()
        self.program: Program | None = None
        self._folder: Final = folder
        self._environ: Final = {**environ, "OTEL_SERVICE_NAME": SERVICE}
        self._stack = AsyncExitStack()
        folder.mkdir()

    async def start(self) -> None:
        words = (TARGET, "--workers", str(self.places))
        self.program = await self._stack.enter_async_context(
            serve(self._folder, self._environ["DATABASE_URL"], *words, **self._environ)
        )

    async def kill(self) -> None:
        """End `serve` as the kernel does when memory runs out; its workers have to notice."""
        program, self.program = self.program, None
        if program is not None:
            await program.kill()
            await program.family.assert_gone(ORPHAN_SECONDS)
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes of the moment."""
        if self.program is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.program.process.pid).children()
        return []

    def logs(self) -> list[str]:
        """Return what each program in this place has logged."""
        return [log.read_text("utf-8", "replace") for log in sorted(self._folder.glob("*.log"))]
