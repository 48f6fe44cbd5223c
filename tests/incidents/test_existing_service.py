"""The path of docs/develop.md with two existing services: wired, broken, found, cured."""

import ast
import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.incidents import services
from tests.incidents.patience import eventually
from tests.incidents.program import Ended, Program, environment, finish, serve
from tests.port import free_port

ROOT: Final = Path(__file__).parents[2]
SERVICES: Final = Path(str(services.__file__)).parent
SHOPS: Final = ("aiohttp_shop", "fastapi_shop")
START_SECONDS: Final = 30.0
CUSTOMERS: Final = ("Ada", "Bob", "Cleo", "Dan")
KILLS: Final = 3
ORDERS_BETWEEN_KILLS: Final = 60


class Shop:
    """A service as a process of its own, and those who use it by HTTP."""

    def __init__(self, name: str, folder: Path, dsn: str, http: ClientSession) -> None:
        self.agent_url: Final = f"http://127.0.0.1:{(agent_port := free_port())}"
        self._url: Final = f"http://127.0.0.1:{(port := free_port())}"
        self._words: Final = [sys.executable, "-m", f"{services.__name__}.{name}", str(port)]
        self._environ: Final = environment(
            folder,
            DATABASE_URL=dsn,
            ENVIRONMENT="development",
            PYTHONPATH=str(ROOT),
            SIDECAR_AGENT_PORT=str(agent_port),
        )
        self._log: Final = folder / "shop.log"
        self._http: Final = http
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._words, env=self._environ, cwd=self._log.parent, stdout=log, stderr=log
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def output(self) -> str:
        return self._log.read_text("utf-8")

    async def is_up(self) -> bool:
        assert self.process.poll() is None, self.output()
        with suppress(ClientError, OSError):
            await self.read("/recent")
            return True
        return False

    async def read(self, path: str) -> Any:
        async with self._http.get(self._url + path) as answer:
            return await answer.json() if answer.status == 200 else None

    async def order(self, customer: str, cents: int) -> int | None:
        """Return the number of the order; None when the service did not confirm it."""
        order = {"customer": customer, "cents": cents}
        async with self._http.post(f"{self._url}/orders", json=order) as answer:
            return int((await answer.json())["number"]) if answer.status == 201 else None

    async def enter_address(self, customer: str, address: str) -> None:
        async with self._http.put(f"{self._url}/addresses/{customer}", json=address) as answer:
            assert answer.status == 204

    async def expect(self, path: str, shown: Any) -> None:
        """Wait until the service shows a read model so."""

        async def is_shown() -> bool:
            return bool(await self.read(path) == shown)

        await eventually(is_shown)


@asynccontextmanager
async def open_shop(name: str, folder: Path, dsn: str) -> AsyncIterator[Shop]:
    async with ClientSession(timeout=ClientTimeout(total=10.0)) as http:
        shop = Shop(name, folder, dsn, http)
        try:
            await eventually(shop.is_up, START_SECONDS)
            yield shop
        finally:
            shop.kill()


@asynccontextmanager
async def watched_shop(name: str, folder: Path, dsn: str) -> AsyncIterator[tuple[Shop, Program]]:
    """Run a service, and the sidecar beside it from the directory of `shop.py`."""
    async with open_shop(name, folder, dsn) as shop:
        told = {"SIDECAR_APP_AGENT_URL": shop.agent_url, "PYTHONPATH": str(SERVICES)}
        async with serve(folder, dsn, "shop:publisher", **told) as program:

            async def is_working() -> bool:
                ready = await program.is_ready()
                return ready and (await shop.read("/totals")) is not None

            await eventually(is_working, START_SECONDS)
            yield shop, program


class Console:
    """A person at the command line, beside the service."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self._folder = folder
        self._environ = environment(folder, DATABASE_URL=dsn, ENVIRONMENT="development")

    async def run(self, *words: str) -> Ended:
        return await asyncio.to_thread(finish, self._folder, *words, **self._environ)

    async def list_dead_letters(self, *words: str) -> list[dict[str, Any]]:
        ended = await self.run("dead-letters", "list", "--format", "json", *words)
        assert ended.code == 0, ended
        letters: list[dict[str, Any]] = json.loads(ended.out)
        return letters


@pytest.mark.parametrize("name", SHOPS)
async def test_a_service_is_wired_broken_found_and_cured(
    name: str, tmp_path: Path, database: str
) -> None:
    console = Console(tmp_path, database)
    async with watched_shop(name, tmp_path, database) as (shop, program):
        await shop.enter_address("Ada", "12 Analytical Street")
        await shop.order("Ada", 1200)
        await shop.order("Ada", 300)
        await shop.expect("/totals", {"Ada": 1500})
        await shop.expect("/invoices", [ada(300), ada(1200)])
        assert [order["cents"] for order in await shop.read("/recent")] == [1200, 300]
        await expect_numbers(program)
        # Nobody has entered where Bob lives.
        number = await shop.order("Bob", 700)
        await shop.order("Ada", 400)
        await shop.expect("/totals", {"Ada": 1900, "Bob": 700})
        await shop.expect("/invoices", [ada(300), ada(400), ada(1200)])
        await expect_told(program)
        letter = await find(console, f"order-{number}")
        await cure(console, shop, letter)
        invoices = [ada(300), ada(400), ada(1200)]
        bob = {"customer": "Bob", "address": "7 Brick Lane", "cents": 700}
        await shop.expect("/invoices", [*invoices, bob])
        await expect_well(program)


def ada(cents: int) -> dict[str, object]:
    return {"customer": "Ada", "address": "12 Analytical Street", "cents": cents}


async def expect_numbers(program: Program) -> None:
    """Wait until the sidecar tells the numbers of the application and of its worker."""
    pool = {"process": "app-1", "db_client_connection_pool_name": "shop"}
    published = {"process": "app-1", "event_type": "OrderPlaced"}

    async def are_told() -> bool:
        return (
            await program.metric("db_client_connection_max", **pool) == 20
            and await program.metric("db_client_connection_use_time_seconds_count", **pool) > 0
            and await program.metric("sidecar_events_published_total", **published) == 2
            and await program.metric("sidecar_handler_events_total", process="app-1") == 2
            and await program.metric("sidecar_projection_events_total", process="worker-1") == 4
        )

    await eventually(are_told)


async def expect_told(program: Program) -> None:
    """See the failure as an SRE does: readiness warns, the page says why, metrics count."""

    # One is read from the database, the other from the worker, each in its own time.
    async def are_shown() -> bool:
        return (
            await program.metric("sidecar_dead_letters", projection="invoices") == 1
            and await program.metric("sidecar_projection_failures_total", projection="invoices")
            >= 1
        )

    await eventually(are_shown)
    assert await program.metric("sidecar_projection_failures_total", projection="order_totals") == 0
    sentence = r"Ready\. Projection invoices has 1 stream parked since \d\d:\d\d, NoAddressError\."

    async def is_said() -> bool:
        return re.search(sentence, (await program.get("/")).text) is not None

    await eventually(is_said)
    ready = await program.get("/ready")
    assert (ready.status, ready.json()["status"]) == (200, "warn")


async def find(console: Console, stream: str) -> str:
    """Return the id of the dead letter that a person finds."""
    [letter] = await console.list_dead_letters()
    assert (letter["projection"], letter["stream"]) == ("invoices", stream)
    assert (letter["event_type"], letter["error_type"]) == ("OrderPlaced", "NoAddressError")
    shown = await console.run("dead-letters", "show", str(letter["id"]))
    assert shown.code == 0, shown
    assert "NoAddressError: no address of Bob" in shown.out
    for line in (
        r'data +\{"customer":"Bob","cents":700\}',
        r"trace +[0-9a-f]{32}",
        r' +File ".*shop\.py", line \d+, in handle',
    ):
        assert re.search(f"^{line}$", shown.out, re.MULTILINE), line
    return str(letter["id"])


async def cure(console: Console, shop: Shop, letter: str) -> None:
    """Retry too early, which is told; then mend the cause and retry again."""
    early = await console.run("dead-letters", "retry", letter)
    assert (early.code, early.out) == (1, "0 taken up again, 1 failed again.\n")
    await shop.enter_address("Bob", "7 Brick Lane")
    retried = await console.run("dead-letters", "retry", letter)
    assert (retried.code, retried.out) == (0, "1 taken up again, 0 failed again.\n")
    assert await console.list_dead_letters() == []


async def expect_well(program: Program) -> None:
    told: dict[str, Any] = {}

    async def passes() -> bool:
        told.update((await program.get("/ready")).json())
        return bool(told["status"] == "pass")

    async def is_gauged() -> bool:
        return await program.metric("sidecar_dead_letters", projection="invoices") == 0

    try:
        await eventually(passes)
    except AssertionError as error:
        error.add_note(f"/ready said {told}")
        raise
    await eventually(is_gauged)


@pytest.mark.parametrize("name", SHOPS)
async def test_a_service_that_is_killed_loses_nothing(
    name: str, tmp_path: Path, database: str
) -> None:
    async with watched_shop(name, tmp_path, database) as (shop, program):
        for customer in CUSTOMERS:
            await shop.enter_address(customer, "Main Street")
        confirmed: list[int] = []
        shopping = [asyncio.create_task(keep_ordering(shop, each, confirmed)) for each in CUSTOMERS]
        for kill in range(1, KILLS + 1):
            await expect_more(confirmed, kill * ORDERS_BETWEEN_KILLS, shopping)
            shop.kill()
            await eventually(program.is_unready)
            shop.start()
            await eventually(shop.is_up, START_SECONDS)
        await expect_more(confirmed, (KILLS + 1) * ORDERS_BETWEEN_KILLS, shopping)
        for task in shopping:
            task.cancel()
        await asyncio.gather(*shopping, return_exceptions=True)
        await eventually(program.is_ready)
        orders = await read_orders(database)
        assert set(confirmed) <= orders.keys()
        await shop.expect("/totals", totals_of(orders))
        invoiced = sorted((customer, cents) for customer, cents in orders.values())

        async def are_invoiced() -> bool:
            rows = await shop.read("/invoices")
            return [(row["customer"], row["cents"]) for row in rows] == invoiced

        await eventually(are_invoiced)


async def keep_ordering(shop: Shop, customer: str, confirmed: list[int]) -> None:
    """Order until cancelled; whoever gets no answer orders again."""
    while True:
        with suppress(ClientError, OSError):
            number = await shop.order(customer, len(confirmed) + 1)
            assert number is not None, shop.output()
            confirmed.append(number)
        await asyncio.sleep(0.01)


async def expect_more(confirmed: list[int], count: int, shopping: list[asyncio.Task[None]]) -> None:
    async def are_confirmed() -> bool:
        assert not any(task.done() for task in shopping), shopping
        return len(confirmed) >= count

    await eventually(are_confirmed)


async def read_orders(dsn: str) -> dict[int, tuple[str, int]]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT number, customer, cents FROM orders")
    finally:
        await connection.close()
    return {row["number"]: (row["customer"], row["cents"]) for row in rows}


def totals_of(orders: dict[int, tuple[str, int]]) -> dict[str, int]:
    totals = dict.fromkeys(CUSTOMERS, 0)
    for customer, cents in orders.values():
        totals[customer] += cents
    return totals


async def test_a_service_that_comes_first_is_told_to_migrate(
    tmp_path: Path, empty_database: str
) -> None:
    console = Console(tmp_path, empty_database)
    async with open_shop("aiohttp_shop", tmp_path, empty_database) as shop:
        assert await shop.order("Ada", 1200) is None
        assert "no event store yet: run `sidecar migrate`" in shop.output()
        # The order that could not be told of was not taken either.
        assert await read_orders(empty_database) == {}
        migrated = await console.run("migrate")
        assert (migrated.code, migrated.out[:8]) == (0, "Applied ")
        assert await shop.order("Ada", 1200) is not None


def test_the_directory_that_a_shell_stands_in_is_no_secret(tmp_path: Path) -> None:
    ended = finish(tmp_path, "check", "--environment", "production", PWD="/code/secret")
    assert ended.code == 78
    assert "PWD" not in ended.out


@pytest.mark.parametrize("name", SHOPS)
def test_the_guide_shows_what_these_services_do(name: str) -> None:
    guide = (ROOT / "docs" / "develop.md").read_text("utf-8")
    [other] = {shop.partition("_")[0] for shop in SHOPS} - {name.partition("_")[0]}
    shown = [
        statement
        for block in re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
        if re.search("EventTypes|EventStore|EventLog", block) and other not in block.lower()
        for statement in statements(block)
    ]
    files = (SERVICES / f"{file}.py" for file in ("shop", "orders", name))
    done = {statement for file in files for statement in statements(file.read_text("utf-8"))}
    assert len(shown) >= 9
    assert [statement for statement in shown if statement not in done] == []


def statements(source: str) -> list[str]:
    """Return the statements of a module, but for imports, without comments and layout."""
    imports = (ast.Import, ast.ImportFrom)
    return [ast.unparse(each) for each in ast.parse(source).body if not isinstance(each, imports)]
