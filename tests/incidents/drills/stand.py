"""The demo as somebody runs it, on a server of its own, watched as in production."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg

from sidecar.demo.shop import types
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from tests.incidents.drills.watchtower import Watchtower, watching
from tests.incidents.drills.webhook import Receiver, Sink
from tests.incidents.patience import eventually
from tests.incidents.program import Program, environment, finish, launch
from tests.port import free_port
from tests.postgres.cluster import Cluster, running_cluster

READY_SECONDS: Final = 40.0
STOP_SECONDS: Final = 15.0
RATE: Final = 20
# Whoever finds one of these in a log, a metric or on a page has found a leak.
SECRET_KEY: Final = "drill-9f3b7c1e5a2d8064-signing-key-that-nobody-may-see"
PASSWORD: Final = "drill-4c8e1f7a-password"
_ROOT: Final = Path(__file__).parents[3]


def durable_cluster(**settings: str) -> AbstractContextManager[Cluster]:
    """Run a server that keeps what was committed, in whatever way it is stopped."""
    return running_cluster(synchronous_commit="on", **settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How everything is set up while nothing is wrong yet.

    Attributes:
        target: What the sidecar serves.
        till: The application's module; it takes the options of the demo's.
        server: Lends a server of one's own; it is running, and may be stopped and started.
        environ: For the sidecar only.
        prepare: Entered before any program starts, left after all have ended. It may add to
            `stand.variables`, which only the sidecar gets, and leave in `stand.rig` what its fault
            will need.
    """

    target: str = "sidecar.demo.shop:publisher"
    till: str = "sidecar.demo.till"
    server: Callable[[], AbstractContextManager[Cluster]] = durable_cluster
    environ: Mapping[str, str] = field(default_factory=dict)
    prepare: "Callable[[Stand], AbstractAsyncContextManager[None]]" = field(
        default=lambda _stand: nullcontext()
    )


class Stand:
    """Everything that runs; `program` and `till` are replaced when they are started again.

    Attributes:
        dsn: The database, for a test's own use; `variables` may send the sidecar another way.
        variables: What the sidecar gets beyond what all get; used at its next start.
        rig: What `prepare` left for the fault.
        secrets: What must show nowhere.
    """

    def __init__(self, folder: Path, cluster: Cluster, dsn: str, plan: Plan) -> None:
        self.folder: Final = folder
        self.cluster: Final = cluster
        self.dsn = dsn
        self.variables: dict[str, str] = dict(plan.environ)
        self.rig: Final[dict[str, Any]] = {}
        self.secrets: Final = [SECRET_KEY, PASSWORD]
        self.port, self.agent_port = free_port(), free_port()
        self.collector: Final = Sink()
        self.program: Program
        self.till: subprocess.Popen[bytes]
        self.tower: Watchtower
        self._plan: Final = plan
        self._ends: Final = AsyncExitStack()

    @property
    def receiver(self) -> Receiver:
        return self.tower.receiver

    @property
    def prometheus(self) -> str:
        return self.tower.prometheus

    @property
    def alertmanager(self) -> str:
        return self.tower.alertmanager

    def environ(self, **more: str) -> dict[str, str]:
        """Give what sidecar, till and commands get alike."""
        return {
            "ENVIRONMENT": "development",
            "DATABASE_URL": self.dsn,
            "SECRET_KEY": SECRET_KEY,
            "SIDECAR_APP_AGENT_URL": f"http://127.0.0.1:{self.agent_port}",
            "PYTHONPATH": str(_ROOT),
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{self.collector.url}/v1/traces",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            **more,
        }

    # The sidecar.

    @asynccontextmanager
    async def serving(self, port: int, /, **more: str) -> AsyncIterator[Program]:
        """Run `sidecar serve` for the length of the block; `self.port` is the one watched."""
        # Whatever names this folder in its command belongs to the program, and ends with it.
        home = self.folder / f"program-{port}"
        home.mkdir(exist_ok=True)
        words = ("serve", self._plan.target, "--port", str(port))
        environ = self.environ(**{**self.variables, **more})
        async with launch(home, *words, **environ) as program:
            program.address = f"http://127.0.0.1:{port}"
            yield program

    async def start_program(self, **more: str) -> None:
        """Run the watched sidecar for as long as the stand, and do not wait for it."""
        self.program = await self._ends.enter_async_context(self.serving(self.port, **more))

    async def stop_program(self) -> None:
        self.program.send(signal.SIGTERM)
        await self.program.wait(STOP_SECONDS)

    async def restart_program(self, **more: str) -> None:
        await self.stop_program()
        await self.start_program(**more)

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return every log line of every sidecar so far; only those of an event."""
        return [line for line in self._read_lines() if event is None or line.get("event") == event]

    def output(self) -> str:
        """Return all that sidecars and till have written."""
        logs = sorted([*self.folder.glob("program-*/*.log"), *self.folder.glob("till.log")])
        return "".join(log.read_text("utf-8", "replace") for log in logs)

    def _read_lines(self) -> Iterator[dict[str, Any]]:
        for log in sorted(self.folder.glob("program-*/*.log")):
            whole = log.read_text("utf-8", "replace").rpartition("\n")[0].splitlines()
            yield from (json.loads(line) for line in whole if line.startswith("{"))

    # The application.

    def start_till(self, **more: str) -> None:
        """Run the application for as long as the stand."""
        self.till = self._ends.enter_context(self._selling(**more))

    async def stop_till(self) -> None:
        """Let it finish the orders at hand."""
        self.till.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.till.wait, STOP_SECONDS)

    @contextmanager
    def _selling(self, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        options = ("--rate", str(RATE), "--poison-every", "0")
        with (self.folder / "till.log").open("ab") as log:
            till = subprocess.Popen(
                [
                    *(sys.executable, "-m", self._plan.till, *options),
                    *("--agent-port", str(self.agent_port)),
                ],
                cwd=self.folder,
                env=environment(self.folder, **self.environ(**more)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        try:
            yield till
        finally:
            till.kill()
            till.communicate()

    # What a person or another program does.

    async def command(self, *words: str, code: int = 0) -> str:
        """Run `sidecar` as a person would, and return what it printed."""
        done = await asyncio.to_thread(
            finish, self.folder, *words, **environment(self.folder, **self.environ())
        )
        assert done.code == code, done.out + done.err
        return done.out

    async def run(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Run a statement on a connection of its own, and return its rows."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    @asynccontextmanager
    async def transaction(self, statement: str) -> AsyncIterator[None]:
        """Run a statement and leave its transaction open and idle; then roll it back."""
        connection = await asyncpg.connect(self.dsn)
        try:
            open_one = connection.transaction()
            await open_one.start()
            await connection.execute(statement)
            yield
            await open_one.rollback()
        finally:
            await connection.close()

    async def append(self, stream: str, *events: object) -> None:
        """Append events of the shop to a stream, as another of its processes would."""
        async with MeteredPool(self.dsn, name="drill", min_size=1, max_size=1) as pool:
            await EventStore(pool, types).append(stream, events)

    async def is_working(self) -> bool:
        """Tell whether the sidecar is ready, and its worker runs."""
        if not await self.program.is_ready():
            return False
        workers = (await self.program.status())["workers"]
        return all(worker["state"] == "running" for worker in workers)

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._plan.prepare(self))
            await self.collector.start()
            stack.push_async_callback(self.collector.stop)
            await self.command("migrate")
            await stack.enter_async_context(self._ends)
            await self.start_program()
            self.start_till()
            await eventually(self.is_working, READY_SECONDS)
            self.tower = await stack.enter_async_context(watching(self.folder, self.port))
            yield


@asynccontextmanager
async def standing(folder: Path, plan: Plan | None = None) -> AsyncIterator[Stand]:
    """Start everything, wait until all is green, and end it afterwards."""
    plan = plan or Plan()
    with plan.server() as cluster:
        dsn = cluster.dsn(await cluster.create_database())
        dsn = dsn.replace("postgres@", f"postgres:{PASSWORD}@")
        stand = Stand(folder, cluster, dsn, plan)
        async with stand._run():
            yield stand
