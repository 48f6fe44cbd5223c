"""Worker processes as replicas over one database."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from tests.incidents.ledger import Ledger
from tests.incidents.program import Program, launch

REPOSITORY: Final = Path(__file__).resolve().parents[3]

_LEASES: Final = """
SELECT pid, count(*) FROM pg_locks
WHERE locktype = 'advisory' AND classid = 7236174 AND granted GROUP BY pid ORDER BY pid
"""


class Replicas:
    """Workers of one target; each that ends is replaced.

    Args:
        folder: Where they run and log.
        dsn: Their database.
        target: What they run.
    """

    def __init__(self, folder: Path, dsn: str, target: str) -> None:
        self.programs: Final[list[Program]] = []
        self._folder: Final = folder
        self._environ: Final[Mapping[str, str]] = {
            "PYTHONPATH": str(REPOSITORY),
            "ENVIRONMENT": "development",
            "DATABASE_URL": dsn,
            "DB_POOL_MAX_SIZE": "8",
            "SIDECAR_AGENT_PORT": "0",
        }
        self._target: Final = target
        self._stacks: Final[list[AsyncExitStack]] = []

    async def start(self) -> None:
        """Start one more."""
        stack = AsyncExitStack()
        program = await stack.enter_async_context(
            launch(self._folder, "run", self._target, **self._environ)
        )
        self.programs.append(program)
        self._stacks.append(stack)

    async def kill(self, index: int) -> None:
        """End one as the kernel does when memory runs out."""
        program, stack = self.programs.pop(index), self._stacks.pop(index)
        await program.kill()
        await stack.aclose()

    async def close(self) -> None:
        while self.programs:
            await self.kill(0)


@asynccontextmanager
async def replicas(folder: Path, dsn: str, target: str, count: int = 2) -> AsyncIterator[Replicas]:
    """Run so many workers for the length of the block."""
    crew = Replicas(folder, dsn, target)
    try:
        for _ in range(count):
            await crew.start()
        yield crew
    finally:
        await crew.close()


async def leases(ledger: Ledger) -> dict[int, int]:
    """Return how many leases each session holds."""
    return {int(pid): int(count) for pid, count in await ledger.query(_LEASES)}
