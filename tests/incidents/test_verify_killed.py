"""A verification whose worker is killed again and again finds what is wrong, once, and ends."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
import pytest

from sidecar.postgres.verify.verification import (
    Verification,
    list_verifications,
    request_verification,
)
from tests.incidents.patience import eventually
from tests.incidents.program import Program, serve
from tests.postgres.stage import fetchval, session

pytestmark = pytest.mark.xdist_group("strain")

TARGET: Final = "tests.incidents.chaos.service:publisher"
EVENTS: Final = 30_000
ACCOUNTS: Final = 5_000
CORRUPTED: Final = 200
KILLS: Final = 6

_FILL: Final = """
INSERT INTO sidecar.events (stream, version, type, data)
SELECT 'account-' || n % $2::int, 1 + n / $2::int, 'Paid',
       json_build_object('account', 'a' || n % $2::int, 'cents', n % 97)
FROM generate_series(0, $1::int - 1) n
"""
_CORRUPTIONS: Final = (
    "UPDATE plain SET cents = cents + 1 WHERE account = $1",
    "UPDATE plain SET events = events + 1 WHERE account = $1",
    "DELETE FROM plain WHERE account = $1",
    "UPDATE plain SET account = account || '-renamed' WHERE account = $1",
)


async def find(dsn: str) -> Verification:
    async with session(dsn) as connection:
        [found] = await list_verifications(connection, ["plain"])
    return found


async def corrupt(dsn: str, chance: random.Random) -> set[str]:
    """Make rows wrong and return the keys by which they have to be found."""
    wrong = set()
    async with session(dsn) as connection:
        for number in chance.sample(range(ACCOUNTS), CORRUPTED):
            statement = chance.choice(_CORRUPTIONS)
            await connection.execute(statement, f"a{number}")
            wrong.add(f"a{number}")
            if "renamed" in statement:
                wrong.add(f"a{number}-renamed")
    return wrong


async def kill_at_work(program: Program, dsn: str, chance: random.Random) -> None:
    """Kill the worker a chance moment after it has begun to verify, if it is not done by then."""

    async def is_at_it() -> bool:
        found = await find(dsn)
        return found.is_owned or found.state != "running"

    await eventually(is_at_it, 60.0)
    await asyncio.sleep(chance.random())
    pid: int | None = (await program.worker())["pid"]
    if pid is None:  # psutil would take that for this process.
        return
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).kill()


@pytest.mark.timeout(300)
async def test_it_finds_each_wrong_row_once_and_leaves_nothing_behind(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(request.config.getoption("--seed"))
    async with serve(tmp_path, database, TARGET) as program:
        await eventually(program.is_ready, 30.0)
        async with session(database) as connection:
            await connection.execute(_FILL, EVENTS, ACCOUNTS)

        async def is_applied() -> bool:
            lowest = "SELECT min(position) FROM sidecar.checkpoints"
            return bool(await fetchval(database, lowest) == EVENTS)

        await eventually(is_applied, 60.0)
        wrong = await corrupt(database, chance)
        async with session(database) as connection:
            await request_verification(connection, "plain")
        for _ in range(KILLS):
            await kill_at_work(program, database, chance)

        async def is_over() -> bool:
            return (await find(database)).state != "running"

        await eventually(is_over, 120.0)
    found = await find(database)
    assert found.report is not None
    table = next(each for each in found.report.tables if each.table == "plain")
    keys = [difference.key[0] for difference in table.differences]
    assert len(keys) == len(set(keys))
    assert set(keys) == wrong
    assert table.drift_rows == len(wrong)
    assert not await fetchval(database, "SELECT to_regnamespace('sidecar_verify_plain')")
