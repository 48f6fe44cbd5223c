"""Everything that runs while faults are made: sidecars, the application, a collector, a server."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import psutil

from sidecar.errors import StoreUnavailableError
from tests.incidents.chaos.application import ACKNOWLEDGED
from tests.incidents.chaos.replica import REPOSITORY
from tests.incidents.chaos.seat import Seat
from tests.incidents.drills.webhook import Sink
from tests.incidents.ledger import Rows
from tests.incidents.patience import eventually
from tests.incidents.program import READY_SECONDS, environment, launch
from tests.port import free_port
from tests.postgres.cluster import Cluster
from tests.proxy import Proxy, proxying

WRITERS: Final = 4
HANG_SECONDS: Final = 4.0
PATIENCE_SECONDS: Final = 8.0
HEALTH_SECONDS: Final = 0.25
COMMAND_SECONDS: Final = 60.0
OUTAGES: Final = (
    OSError,
    StoreUnavailableError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    # What asyncpg says when it reads on after a session was cut off.
    asyncpg.InternalClientError,
    psutil.NoSuchProcess,
)
"""What one who makes a fault meets while others make theirs."""


class Crew:
    """What faults are made to.

    Attributes:
        network: What one of the sidecars has between itself and the server.
        server: Held by whoever stops or freezes the server.
        wrongs: What must not happen and did; empty at the end.
    """

    def __init__(self, folder: Path, cluster: Cluster, network: Proxy, seed: int) -> None:
        self.folder: Final = folder
        self.cluster: Final = cluster
        self.network: Final = network
        self.network_lock: Final = asyncio.Lock()
        self.dsn: Final = cluster.dsn()
        self.seed: Final = seed
        self.server: Final = asyncio.Lock()
        self.wrongs: Final[list[str]] = []
        self.collector: Final = Sink()
        self.collector_lock: Final = asyncio.Lock()
        self.application: subprocess.Popen[bytes] | None = None
        self.application_lock: Final = asyncio.Lock()
        self._agent_port: Final = free_port()
        self._runs = 0
        far = f"postgresql://postgres@127.0.0.1:{network.port}/postgres"
        self.seats: Final = (
            self._seat("sidecar-1", self.dsn, places=1),
            # Leases move within a sidecar as well.
            self._seat("sidecar-2", self.dsn, places=2),
            self._seat("sidecar-3", far, places=1),
        )

    def _seat(self, name: str, dsn: str, places: int) -> Seat:
        """Make a replica; a role of its own tells its sessions from those of the others."""
        own = dsn.replace("//postgres@", f"//{name}@")
        return Seat(self.folder / name, self.environ(own), places)

    def environ(self, dsn: str) -> dict[str, str]:
        return {
            "ENVIRONMENT": "development",
            "DATABASE_URL": dsn,
            "PYTHONPATH": str(REPOSITORY),
            "DB_POOL_MAX_SIZE": "8",
            "SIDECAR_APP_AGENT_URL": f"http://127.0.0.1:{self._agent_port}",
            "SIDECAR_WORKER_HANG_SECONDS": str(HANG_SECONDS),
            "SIDECAR_VERIFY_PERCENT": "20",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{self.collector.url}/v1/traces",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
        }

    def start_application(self, writers: int = WRITERS) -> None:
        """Start the application; each of its runs writes something else."""
        self._runs += 1
        module = "tests.incidents.chaos.application"
        words = (str(self._agent_port), f"{self.seed}-{self._runs}", str(writers))
        with (self.folder / "application.log").open("ab") as log:
            self.application = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=self.folder,
                env=environment(self.folder, **self.environ(self.dsn)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill_application(self) -> None:
        if self.application is not None:
            if self.application.poll() is not None:
                self.wrongs.append((self.folder / "application.log").read_text())
            self.application.kill()
            self.application.wait()
            self.application = None

    def acknowledged(self) -> list[tuple[str, int]]:
        """Return which appends were acknowledged, as stream and last version."""
        lines = (self.folder / ACKNOWLEDGED).read_text().splitlines()
        return [(stream, int(version)) for stream, version in map(str.split, lines)]

    async def query(self, statement: str, *arguments: object) -> Rows:
        async with self.session() as connection:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]

    @asynccontextmanager
    async def session(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Lend a connection that waits no longer than a frozen server takes to come back."""
        connection = await asyncpg.connect(
            self.dsn,
            timeout=PATIENCE_SECONDS,
            command_timeout=PATIENCE_SECONDS,
            server_settings={"application_name": "chaos"},
        )
        try:
            yield connection
        finally:
            connection.terminate()

    async def command(self, *words: str, within_seconds: float = COMMAND_SECONDS) -> int:
        """Run `sidecar` as a person would and return its exit code.

        Whatever is broken just then, it must come to an end, and without a traceback.
        """
        async with launch(self.folder, *words, **self.environ(self.dsn)) as program:
            code = await program.wait(within_seconds)
            if "Traceback" in program.output():
                self.wrongs.append(f"sidecar {' '.join(words)}: {program.output()}")
        return code

    async def watch_health(self) -> None:
        """Ask every sidecar for its liveness until cancelled: nothing that is done may touch it."""
        while True:
            for seat in self.seats:
                program = seat.program
                if program is None:
                    continue
                answer = await program.get("/health")
                if answer.status != 200 and seat.program is program:
                    self.wrongs.append(f"/health of {seat.name}: {answer.status} {answer.text}")
            await asyncio.sleep(HEALTH_SECONDS)

    async def settle(self, within_seconds: float) -> None:
        """Let the application write no more, and wait until every sidecar is ready again."""
        self.kill_application()
        self.start_application(writers=0)
        await self.become_ready(within_seconds)

    async def become_ready(self, within_seconds: float) -> None:
        async def are_ready() -> bool:
            return all([await seat.program.is_ready() for seat in self.seats if seat.program])

        await eventually(are_ready, within_seconds)


@asynccontextmanager
async def running_crew(folder: Path, cluster: Cluster, seed: int) -> AsyncIterator[Crew]:
    """Start all of it, and end it afterwards, whatever became of it."""
    address = urlsplit(cluster.dsn(tcp=True))
    async with proxying(str(address.hostname), address.port or 0) as network:
        crew = Crew(folder, cluster, network, seed)
        await crew.collector.start()
        try:
            for seat in crew.seats:
                await crew.query(f'CREATE ROLE "{seat.name}" SUPERUSER LOGIN')
                await seat.start()
            crew.start_application()
            await crew.become_ready(READY_SECONDS)
            yield crew
        finally:
            crew.kill_application()
            for seat in crew.seats:
                await seat.kill()
            await crew.collector.stop()
