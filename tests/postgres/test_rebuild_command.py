"""`sidecar projections` as a program beside a worker, and `sidecar migrate`."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.projections.retry import RetryPolicy
from tests.incidents.program import Ended, finish
from tests.postgres.eventually import eventually
from tests.postgres.rebuilding import Totals, fill, oracle, read, until_live, working
from tests.postgres.stage import Stage, open_stage

CANARY = "hunter2canary"
BEGUN = "SELECT count(*) FROM sidecar.checkpoints WHERE copy = 'rebuild'"


class Shell:
    """Runs `sidecar` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def run(self, dsn: str, *arguments: str, environment: str = "development") -> Ended:
        environ = {"ENVIRONMENT": environment, "DATABASE_URL": dsn}
        ended = await asyncio.to_thread(finish, self._folder, *arguments, **environ)
        assert "Traceback" not in ended.err + ended.out
        return ended


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def totals() -> Totals:
    return Totals()


@pytest.fixture
async def stage(database: str, totals: Totals) -> AsyncIterator[Stage]:
    async with open_stage(database, totals, policy=RetryPolicy(max_attempts=1)) as stage:
        await fill(stage, 3000, streams=10)
        yield stage


async def test_list_shows_how_projections_stand(stage: Stage, shell: Shell) -> None:
    ended = await shell.run(stage.dsn, "projections", "list")
    head, row = ended.out.strip().splitlines()
    assert head.split()[:3] == ["PROJECTION", "STATUS", "POSITION"]
    assert row.split()[:4] == ["totals", "unowned", "0", "3000"]
    async with working(stage):
        await until_live(stage)
        ended = await shell.run(stage.dsn, "projections", "list", "--format", "json")
    [standing] = json.loads(ended.out)
    assert (standing["name"], standing["status"], standing["position"]) == (
        "totals",
        "caught_up",
        3000,
    )
    assert (standing["lag_events"], standing["owners"]) == (0, ["lease"])


async def test_pause_and_resume(stage: Stage, shell: Shell) -> None:
    ended = await shell.run(stage.dsn, "projections", "pause", "totals")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("totals is paused;")
    [standing] = json.loads(
        (await shell.run(stage.dsn, "projections", "list", "--format=json")).out
    )
    assert standing["status"] == "paused"
    ended = await shell.run(stage.dsn, "projections", "resume", "totals")
    assert (ended.code, ended.out) == (0, "totals goes on.\n")
    async with working(stage):
        await until_live(stage)


async def test_rebuild_waits_for_the_swap(stage: Stage, shell: Shell) -> None:
    async with working(stage):
        await until_live(stage)
        await stage.pool.execute("UPDATE totals SET amount = -1")
        ended = await shell.run(stage.dsn, "projections", "rebuild", "totals")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1].startswith("The new copy of totals is in place;")
    assert await read(stage) == await oracle(stage)
    ended = await shell.run(stage.dsn, "projections", "rebuild", "totals", "--drop-old")
    assert (ended.code, ended.out) == (0, "The old copy of totals is dropped.\n")
    ended = await shell.run(stage.dsn, "projections", "rebuild", "totals", "--drop-old")
    assert (ended.code, ended.err) == (1, "Error: There is no old copy of totals.\n")


async def test_rebuild_that_fails_says_why_and_can_be_cancelled(
    stage: Stage, shell: Shell, totals: Totals
) -> None:
    async with working(stage):
        await until_live(stage)
        totals.broken = {"o1500"}
        ended = await shell.run(stage.dsn, "projections", "rebuild", "totals")
        assert ended.code == 1
        assert "The rebuild stopped: BrokenOrderError at position 1501" in ended.err
        head, row = (await shell.run(stage.dsn, "projections", "list")).out.strip().splitlines()
        assert "REBUILD" in head.split()
        assert {"caught_up", "halted", "BrokenOrderError"} <= set(row.split())
        ended = await shell.run(stage.dsn, "projections", "rebuild", "totals", "--cancel")
        assert (ended.code, ended.out) == (0, "The rebuild of totals is cancelled.\n")
    ended = await shell.run(stage.dsn, "projections", "rebuild", "totals", "--cancel")
    assert (ended.code, ended.err) == (1, "Error: No rebuild of totals is under way.\n")


async def test_rebuild_waits_for_a_worker_that_takes_over(stage: Stage, shell: Shell) -> None:
    rebuilding = asyncio.create_task(shell.run(stage.dsn, "projections", "rebuild", "totals"))

    async def is_begun() -> bool:
        return bool(await stage.pool.fetchval(BEGUN))

    await eventually(is_begun)
    async with working(stage):
        ended = await rebuilding
    assert ended.code == 0, ended
    assert "The new copy of totals is in place" in ended.out


async def test_rebuild_without_a_worker_says_so_and_does_not_wait_for_ever(
    stage: Stage, shell: Shell
) -> None:
    ended = await shell.run(stage.dsn, "projections", "rebuild", "totals", "--no-wait")
    assert ended.code == 0
    ended = await shell.run(stage.dsn, "projections", "rebuild", "totals")
    assert ended.code == 1
    assert "No worker runs totals." in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "nobody"),
        ("resume", "nobody"),
        ("rebuild", "nobody"),
        ("rebuild", "nobody", "--replay-effects"),
        ("rebuild", "totals", "--replay-effects"),
    ],
)
async def test_what_is_not_there_is_told_in_a_sentence(
    stage: Stage, shell: Shell, arguments: tuple[str, ...]
) -> None:
    ended = await shell.run(stage.dsn, "projections", *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: There is no ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("projections", "list", "--format=json"),
        ("projections", "pause", "totals"),
        ("projections", "rebuild", "totals"),
        ("projections", "rebuild", "totals", "--cancel"),
        ("projections", "rebuild", "totals", "--drop-old"),
        ("projections", "rebuild", "totals", "--replay-effects"),
        ("dead-letters", "list"),
        ("dead-letters", "show", "1"),
        ("dead-letters", "retry", "--all"),
        ("dead-letters", "discard", "1", "--reason", "x"),
    ],
)
async def test_database_without_the_schema_is_told_what_to_do(
    empty_database: str, shell: Shell, arguments: tuple[str, ...]
) -> None:
    ended = await shell.run(empty_database, *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert "run `sidecar migrate`" in ended.err


async def test_migrate_applies_what_is_pending_once(empty_database: str, shell: Shell) -> None:
    ended = await shell.run(empty_database, "migrate")
    assert ended.code == 0
    assert ended.out.startswith("Applied ")
    ended = await shell.run(empty_database, "migrate")
    assert (ended.code, ended.out) == (0, "Nothing to apply\n")
    ended = await shell.run(empty_database, "projections", "list")
    assert (ended.code, ended.out) == (0, "No projection has run yet.\n")


@pytest.mark.parametrize("arguments", [("projections", "list"), ("migrate",)])
async def test_unreachable_database_is_told_without_the_password(
    database: str, shell: Shell, arguments: tuple[str, ...]
) -> None:
    url = f"postgresql://{CANARY}:{CANARY}@127.0.0.1:1/{CANARY}"
    gone = database.replace("/test_", "/gone_").replace("@/", f":{CANARY}@/")
    for dsn in (url, gone):
        ended = await shell.run(dsn, *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("Error: PostgreSQL cannot be reached: ")
        assert CANARY not in ended.err
