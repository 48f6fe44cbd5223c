import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import Program, ready_service, serve

DRAIN_SECONDS: Final = 2.0
CLIENTS: Final = 8
NOWHERE: Final = "postgresql://shop@127.0.0.1:1/shop"


@asynccontextmanager
async def asking(program: Program, path: str) -> AsyncIterator[list[int]]:
    """Keep clients asking one request after another; yield the statuses, 0 for none."""
    statuses: list[int] = []

    async def ask() -> None:
        while True:
            statuses.append((await program.get(path)).status)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(ask()) for _ in range(CLIENTS)]
    try:
        yield statuses
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_signal_under_load_turns_readiness_at_once_and_loses_no_request(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    drain = {"SIDECAR_DRAIN_DELAY_SECONDS": str(DRAIN_SECONDS)}
    async with ready_service(tmp_path, database, **drain) as program, ledger.paying():
        async with asking(program, "/ready") as ready, asking(program, "/metrics") as metrics:
            await eventually(lambda: has(ready, 500))
            assert set(ready) == {200}
            program.send(signal.SIGTERM)
            began_mono = time.monotonic()
            await eventually(program.is_unready, DRAIN_SECONDS / 2)
            turned = len(ready)
            assert await program.metric("sidecar_draining") in {0, 1}
            await eventually(lambda: shows_draining(program), DRAIN_SECONDS / 2)
            # It serves on for the delay: whoever asks is answered, and never with a yes again.
            assert set(ready[turned:]) == {503}
            assert set(metrics) == {200}
        assert await program.wait(DRAIN_SECONDS + 5.0) == 0
        assert time.monotonic() - began_mono >= DRAIN_SECONDS
        assert "Traceback" not in program.output()


async def test_a_second_signal_under_load_ends_it_at_once(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    drain = {"SIDECAR_DRAIN_DELAY_SECONDS": "60"}
    async with (
        ready_service(tmp_path, database, **drain) as program,
        ledger.paying(),
        asking(program, "/ready") as ready,
    ):
        await eventually(lambda: has(ready, 500))
        program.send(signal.SIGTERM)
        await eventually(program.is_unready)
        program.send(signal.SIGTERM)
        assert await program.wait(5.0) == 0


async def test_a_signal_during_boot_is_not_lost(tmp_path: Path) -> None:
    async with serve(tmp_path, NOWHERE) as program:
        program.send(signal.SIGTERM)
        assert await program.wait(5.0) == 0
        assert "Traceback" not in program.output()


async def test_boot_is_over_where_the_database_is_not_there(tmp_path: Path) -> None:
    """A start-up probe that waited for it would have the process killed again and again."""
    async with serve(tmp_path, NOWHERE) as program:

        async def is_over() -> bool:
            return (await program.get("/startup")).status == 200

        await eventually(is_over)
        assert await program.is_unready()
        assert (await program.get("/ready?check=postgres")).status == 503


async def has(statuses: list[int], count: int) -> bool:
    return len(statuses) >= count


async def shows_draining(program: Program) -> bool:
    return await program.metric("sidecar_draining") == 1
