"""Clients that ask at a pace of their own, whatever the answers take, and remember them."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.incidents.program import Program

LATE_SECONDS: Final = 1.0


class Prober:
    """Asks a path so many times a second.

    Attributes:
        statuses: How often each status came; 0 stands for no answer.
        late: Answers that took a second or longer.
    """

    def __init__(self, program: Program, path: str, per_second: float) -> None:
        self.statuses: Final[Counter[int]] = Counter()
        self.late = 0
        self._program = program
        self._path = path
        self._pause_seconds = 1.0 / per_second

    async def run(self) -> None:
        """Ask until cancelled."""
        due_mono = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._ask())
                due_mono += self._pause_seconds
                await asyncio.sleep(max(due_mono - time.monotonic(), 0.0))

    async def _ask(self) -> None:
        answer = await self._program.get(self._path)
        self.statuses[answer.status] += 1
        self.late += answer.seconds >= LATE_SECONDS


@asynccontextmanager
async def probing(program: Program, *paths: str, per_second: float) -> AsyncIterator[list[Prober]]:
    """Ask each path at this pace for the length of the block."""
    probers = [Prober(program, path, per_second) for path in paths]
    tasks = [asyncio.create_task(prober.run()) for prober in probers]
    try:
        yield probers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
