"""Each example runs as its page says: the sidecar and the application beside each other."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from tests.incidents.patience import eventually
from tests.incidents.program import environment, serve
from tests.port import free_port

BANK: Final = Path(__file__).parents[2] / "examples" / "bank"
START_SECONDS: Final = 30.0


class Customer:
    """Somebody who asks the bank by HTTP."""

    def __init__(self, url: str, http: ClientSession) -> None:
        self._url: Final = url
        self._http: Final = http

    async def post(self, path: str, cents: int) -> int:
        """Return the status of the answer."""
        async with self._http.post(self._url + path, json={"cents": cents}) as answer:
            return answer.status

    async def balances(self) -> dict[str, int] | None:
        """Return what the read model says; None while the bank is closed."""
        with suppress(ClientError, OSError):
            async with self._http.get(f"{self._url}/accounts") as answer:
                return await answer.json() if answer.status == 200 else None
        return None


def start_bank(folder: Path, dsn: str, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)],
        env=environment(folder, DATABASE_URL=dsn, PYTHONPATH=str(BANK)),
        cwd=folder,
    )


@asynccontextmanager
async def open_bank(folder: Path, dsn: str) -> AsyncIterator[Customer]:
    """Serve the application by uvicorn, in the folder that the sidecar runs in."""
    port = free_port()
    process = start_bank(folder, dsn, port)
    try:
        async with ClientSession(timeout=ClientTimeout(total=10.0)) as http:
            yield Customer(f"http://127.0.0.1:{port}", http)
    finally:
        process.kill()
        process.wait()


async def test_the_bank_keeps_balances_and_lets_nobody_overdraw(
    tmp_path: Path, database: str
) -> None:
    async with (
        serve(tmp_path, database, "bank:publisher", PYTHONPATH=str(BANK)) as program,
        open_bank(tmp_path, database) as customer,
    ):

        async def is_open() -> bool:
            return await program.is_ready() and await customer.balances() is not None

        await eventually(is_open, START_SECONDS)
        assert await customer.post("/accounts/ada/deposits", 500) == 201
        assert await customer.post("/accounts/ada/deposits", 0) == 422
        assert await customer.post("/accounts/ada/withdrawals", 501) == 409
        withdrawals = (customer.post("/accounts/ada/withdrawals", 300) for _ in range(3))
        assert sorted(await asyncio.gather(*withdrawals)) == [201, 409, 409]

        async def is_kept() -> bool:
            return await customer.balances() == {"ada": 200}

        await eventually(is_kept)

        async def is_watched() -> bool:
            pools = {"process": "app-1", "db_client_connection_pool_name": "bank"}
            return await program.metric("db_client_connection_max", **pools) > 0

        await eventually(is_watched)
