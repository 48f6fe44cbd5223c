import asyncio
import csv
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession

from tests.incidents.patience import eventually
from tests.incidents.program import Program, serve
from tests.incidents.tool import find_tool
from tests.port import free_port
from tests.postgres.cluster import Cluster

NOTICE_SECONDS: Final = 8.0
DRAIN_SECONDS: Final = 3.0
CONFIGURATION: Final = """
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend entry
  bind 127.0.0.1:{entry}
  default_backend sidecars
backend sidecars
  balance roundrobin
  option httpchk GET /ready
  http-response set-header X-Served-By %s
  default-server check inter 500ms fall 2 rise 2
  server first {first}
  server second {second}
listen told
  bind 127.0.0.1:{told}
  stats enable
  stats uri /
"""


class Balancer:
    """HAProxy before two sidecars, and a client that asks through it.

    Attributes:
        served: How many answers came from each sidecar since the last reset.
        lost: Answers other than 200, and questions without one.
    """

    def __init__(self, entry: int, told: int, http: ClientSession) -> None:
        self.served: Final[Counter[str]] = Counter()
        self.lost: Final[list[str]] = []
        self._entry = f"http://127.0.0.1:{entry}/health"
        self._told = f"http://127.0.0.1:{told}/;csv"
        self._http = http

    async def load(self) -> None:
        """Ask again and again until cancelled."""
        while True:
            try:
                async with self._http.get(self._entry) as answer:
                    await answer.read()
                    self.served[answer.headers["X-Served-By"]] += 1
                    if answer.status != 200:
                        self.lost.append(f"{answer.status}")
            except (ClientError, OSError, KeyError) as error:
                self.lost.append(repr(error))
            await asyncio.sleep(0.005)

    async def server(self, name: str) -> dict[str, str]:
        """Return what HAProxy tells of a server."""
        async with self._http.get(self._told) as answer:
            lines = (await answer.text()).removeprefix("# ").splitlines()
        [row] = [row for row in csv.DictReader(lines) if row["svname"] == name]
        return row

    async def expect(self, name: str, state: str) -> dict[str, str]:
        """Wait until HAProxy says that a server is UP or DOWN, and return all that it says."""

        async def is_so() -> bool:
            return (await self.server(name))["status"] == state

        await eventually(is_so, NOTICE_SECONDS)
        return await self.server(name)

    async def expect_served_by(self, *names: str) -> None:
        """Wait for a hundred answers from now on, and for their servers to be just these."""
        self.served.clear()

        async def is_enough() -> bool:
            return self.served.total() >= 100

        await eventually(is_enough, NOTICE_SECONDS)
        assert set(self.served) == set(names)


@asynccontextmanager
async def balancing(folder: Path, first: Program, second: Program) -> AsyncIterator[Balancer]:
    """Run HAProxy, with a client that asks all the time."""
    entry, told = free_port(), free_port()
    file = folder / "haproxy.cfg"
    addresses = {"first": urlsplit(first.address).netloc, "second": urlsplit(second.address).netloc}
    file.write_text(CONFIGURATION.format(entry=entry, told=told, **addresses))
    process = await asyncio.create_subprocess_exec(find_tool("haproxy"), "-db", "-f", str(file))
    try:
        async with ClientSession() as http:
            balancer = Balancer(entry, told, http)
            await eventually(lambda: listens(told), NOTICE_SECONDS)
            await balancer.expect("first", "UP")
            await balancer.expect("second", "UP")
            loading = asyncio.create_task(balancer.load())
            yield balancer
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
    finally:
        process.kill()
        await process.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def two_sidecars(
    folder: Path, first_dsn: str, second_dsn: str
) -> AsyncIterator[tuple[Program, Program]]:
    drain = {"SIDECAR_DRAIN_DELAY_SECONDS": str(DRAIN_SECONDS)}
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(serve(folder, first_dsn, **drain))
        second = await stack.enter_async_context(serve(folder, second_dsn, **drain))
        await eventually(first.is_ready)
        await eventually(second.is_ready)
        yield first, second


async def test_traffic_leaves_a_sidecar_whose_database_stopped_and_comes_back(
    tmp_path: Path, database: str, private_cluster: Cluster
) -> None:
    own = private_cluster.dsn(await private_cluster.create_database())
    async with (
        two_sidecars(tmp_path, own, database) as (first, second),
        balancing(tmp_path, first, second) as balancer,
    ):
        await balancer.expect_served_by("first", "second")
        await asyncio.to_thread(private_cluster.stop, "immediate")
        await eventually(first.is_unready, NOTICE_SECONDS)
        told = await balancer.expect("first", "DOWN")
        # Two checks after /ready turned, not one more.
        assert (told["chkfail"], told["chkdown"]) == ("2", "1")
        await balancer.expect_served_by("second")
        await asyncio.to_thread(private_cluster.start)
        await eventually(first.is_ready, NOTICE_SECONDS)
        await balancer.expect("first", "UP")
        await balancer.expect_served_by("first", "second")
        assert balancer.lost == []


async def test_no_request_is_lost_while_a_sidecar_drains(tmp_path: Path, database: str) -> None:
    async with (
        two_sidecars(tmp_path, database, database) as (first, second),
        balancing(tmp_path, first, second) as balancer,
    ):
        await balancer.expect_served_by("first", "second")
        first.send(signal.SIGTERM)
        told = await balancer.expect("first", "DOWN")
        assert (told["chkfail"], told["check_code"]) == ("2", "503")
        assert first.process.poll() is None
        await balancer.expect_served_by("second")
        assert await first.wait(DRAIN_SECONDS + 5.0) == 0
        await balancer.expect_served_by("second")
        assert balancer.lost == []
