"""Reads once a second what processes hold."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import psutil

from tests.incidents.ledger import Ledger
from tests.incidents.soak.growth import MEBIBYTE, Resource, Sample

_SESSIONS: Final = """
SELECT application_name FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
"""


class Gauge:
    """Takes samples of processes, by the name that they bear at the server.

    Attributes:
        samples: In the order of their time.
    """

    def __init__(self, processes: Mapping[str, int], ledger: Ledger) -> None:
        self.samples: Final[list[Sample]] = []
        self._processes: Final = {name: psutil.Process(pid) for name, pid in processes.items()}
        self._ledger: Final = ledger

    async def run(self, seconds: float) -> None:
        """Sample for so long; a process that ends raises."""
        began_mono = time.monotonic()
        while (now := time.monotonic() - began_mono) < seconds:
            sessions = [name for (name,) in await self._ledger.query(_SESSIONS)]
            for name, process in self._processes.items():
                held = _look(process)
                held[Resource.CONNECTIONS] = sum(name in session for session in sessions)
                self.samples.append(Sample(now, name, held))
            await asyncio.sleep(max(0.0, began_mono + now + 1.0 - time.monotonic()))


def _look(process: psutil.Process) -> dict[Resource, float]:
    with process.oneshot():
        return {
            # What would be free if it ended: pages that it shares are not its growth.
            Resource.MEMORY: process.memory_full_info().uss / MEBIBYTE,
            Resource.DESCRIPTORS: process.num_fds(),
            Resource.THREADS: process.num_threads(),
        }
