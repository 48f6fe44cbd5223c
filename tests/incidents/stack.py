"""Prometheus, Alertmanager and a receiver of their messages, around a running program."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from tests.incidents.patience import eventually
from tests.incidents.program import Program, environment, finish, launch
from tests.incidents.stack_short import write_all
from tests.incidents.tool import find_tool

READY_SECONDS: Final = 30.0
HEARTBEAT: Final = "SidecarWatchdog"
_ROOT: Final = Path(__file__).parents[2]

Message = dict[str, Any]
Take = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """Takes what Alertmanager sends."""

    def __init__(self) -> None:
        self.messages: Final[list[Message]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.messages.append({"to": request.path[1:], **await request.json()})
        return web.Response()

    def names(self, status: str = "firing") -> set[str]:
        """Tell which alerts have been told of, the watchdog aside."""
        told = (alert for message in self.messages for alert in message["alerts"])
        names = {alert["labels"]["alertname"] for alert in told if alert["status"] == status}
        return names - {HEARTBEAT}

    def find(self, name: str, status: str) -> Message | None:
        for message in self.messages:
            for alert in message["alerts"]:
                if alert["labels"]["alertname"] == name and alert["status"] == status:
                    return {"to": message["to"], **alert}
        return None


class Sink:
    """Stands for a collector: takes all that is sent, at an address that stays the same."""

    def __init__(self) -> None:
        self._port: Final = free_port()
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        await self._stack.enter_async_context(_listening(self._take, self._port))

    async def stop(self) -> None:
        await self._stack.aclose()

    async def _take(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(content_type="application/x-protobuf")


class Stack:
    """Everything that runs; `program` is replaced when it is started again."""

    def __init__(
        self, folder: Path, dsn: str, http: ClientSession, receiver: Receiver, ends: AsyncExitStack
    ) -> None:
        self.keep: Final = ends.enter_async_context
        self.folder: Final = folder
        # Whatever names this folder in its command belongs to the program, and ends with it.
        self._home: Final = folder / "program"
        self._home.mkdir()
        self.dsn: Final = dsn
        self.receiver: Final = receiver
        self.port, self.agent_port = free_port(), free_port()
        self.prometheus = f"http://127.0.0.1:{free_port()}"
        self.alertmanager = f"http://127.0.0.1:{free_port()}"
        self.collector: Final = Sink()
        self.program: Program
        self.app: subprocess.Popen[bytes]
        self._http = http

    async def query(self, expr: str) -> list[Any]:
        answer = await self.get(f"{self.prometheus}/api/v1/query", query=expr)
        assert answer["status"] == "success", answer
        result: list[Any] = answer["data"]["result"]
        return result

    async def active(self) -> dict[str, str]:
        """Give the state, `active` or `suppressed`, of each alert that Alertmanager has."""
        alerts = await self.get(f"{self.alertmanager}/api/v2/alerts")
        told = {alert["labels"]["alertname"]: alert["status"]["state"] for alert in alerts}
        return {name: state for name, state in told.items() if name != HEARTBEAT}

    async def get(self, url: str, **parameters: str) -> Any:
        async with self._http.get(url, params=parameters) as answer:
            return await answer.json()

    async def is_watching(self) -> bool:
        return all([await self._answers(one) for one in (self.prometheus, self.alertmanager)])

    async def is_measured(self) -> bool:
        return bool(await self.query("job:sidecar_deliveries:increase1h > 0"))

    async def _answers(self, url: str) -> bool:
        try:
            async with self._http.get(f"{url}/-/ready") as answer:
                return answer.status == 200
        except (ClientError, OSError, TimeoutError):
            return False

    def tell_app(self, words: str) -> None:
        assert self.app.stdin is not None
        self.app.stdin.write(f"{words}\n".encode())
        self.app.stdin.flush()

    async def command(self, *words: str) -> None:
        """Run `sidecar` as a person would."""
        done = await asyncio.to_thread(
            finish, self.folder, *words, **environment(self.folder, **self.environ())
        )
        assert done.code == 0, done.out + done.err

    def environ(self, **more: str) -> dict[str, str]:
        return {
            "ENVIRONMENT": "development",
            "DATABASE_URL": self.dsn,
            "SIDECAR_APP_AGENT_URL": f"http://127.0.0.1:{self.agent_port}",
            "PYTHONPATH": str(_ROOT),
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{self.collector.url}/v1/traces",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            **more,
        }

    @asynccontextmanager
    async def serving(self, **more: str) -> AsyncIterator[Program]:
        """Run `sidecar serve` at this stack's port for the length of the block."""
        words = ("serve", "tests.incidents.stack_service:publisher", "--port", str(self.port))
        async with launch(self._home, *words, **self.environ(**more)) as program:
            program.address = f"http://127.0.0.1:{self.port}"
            self.program = program
            yield program

    @contextmanager
    def selling(self, **more: str) -> Iterator[None]:
        """Run the application for the length of the block."""
        words = (sys.executable, "-m", "tests.incidents.stack_app", str(self.agent_port))
        with (self.folder / "app.log").open("ab") as log:
            self.app = subprocess.Popen(
                words,
                cwd=self.folder,
                env=environment(self.folder, **self.environ(**more)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        try:
            yield
        finally:
            self.app.kill()
            self.app.communicate()


@asynccontextmanager
async def running_stack(folder: Path, dsn: str, **environ: str) -> AsyncIterator[Stack]:
    """Start everything, wait until all is green, and end it afterwards."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(total=5.0)))
        receiver = Receiver()
        watched = Stack(folder, dsn, http, receiver, stack)
        webhook = await stack.enter_async_context(_listening(receiver.take))
        await watched.collector.start()
        stack.push_async_callback(watched.collector.stop)
        write_all(
            folder,
            target=f"127.0.0.1:{watched.port}",
            alertmanager=watched.alertmanager.removeprefix("http://"),
            webhook=webhook,
        )
        await watched.command("migrate")
        await stack.enter_async_context(watched.serving(**environ))
        stack.enter_context(watched.selling(**environ))
        stack.enter_context(_running(folder, "prometheus-alertmanager", *_am(folder, watched)))
        await eventually(watched.program.is_ready, READY_SECONDS)
        # Only now, for a sidecar that is not there yet is one that is down.
        stack.enter_context(_running(folder, "prometheus", *_prometheus(folder, watched)))
        await eventually(watched.is_watching, READY_SECONDS)
        await eventually(watched.is_measured, READY_SECONDS)
        yield watched


def _am(folder: Path, stack: Stack) -> tuple[str, ...]:
    return (
        f"--config.file={folder / 'alertmanager.yaml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={stack.alertmanager.removeprefix('http://')}",
        "--cluster.listen-address=",
    )


def _prometheus(folder: Path, stack: Stack) -> tuple[str, ...]:
    return (
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={stack.prometheus.removeprefix('http://')}",
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


@asynccontextmanager
async def _listening(take: Take, port: int = 0) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
