"""`sidecar projections rebuild` shows what a swap changes, and asks before rows vanish."""

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.incidents.program import Ended, environment, finish
from tests.postgres.rebuilding import Totals, fill, oracle, read, until_live, working
from tests.postgres.stage import Stage, open_stage

CHANGES = (
    "  totals: 1 added, 1 removed",
    "    removed: by-hand",
    "    added: s4",
)


@pytest.fixture
async def stage(database: str) -> AsyncIterator[Stage]:
    """Yield a stage whose read model lacks a row and has one that no event made."""
    async with open_stage(database, Totals()) as stage, working(stage):
        await fill(stage, 600, streams=10)
        await until_live(stage)
        await stage.pool.execute(
            "DELETE FROM totals WHERE stream = 's4'; INSERT INTO totals VALUES ('by-hand', 7, 1)"
        )
        yield stage


async def rebuild(stage: Stage, folder: Path, *options: str) -> Ended:
    arguments = ("projections", "rebuild", "totals", *options)
    ended = await asyncio.to_thread(finish, folder, *arguments, DATABASE_URL=stage.dsn)
    assert "Traceback" not in ended.err + ended.out
    return ended


async def rebuild_in_terminal(stage: Stage, folder: Path, answer: str, *options: str) -> str:
    """Answer the question and return all that was shown."""
    return await asyncio.to_thread(_answer, folder, stage.dsn, answer, options)


def _answer(folder: Path, dsn: str, answer: str, options: tuple[str, ...]) -> str:
    ours, theirs = pty.openpty()
    environ = environment(folder, DATABASE_URL=dsn, TERM="xterm")
    command = [sys.executable, "-m", "sidecar", "projections", "rebuild", "totals", *options]
    with subprocess.Popen(
        command, cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = ""
        with os.fdopen(ours, "r+b", buffering=0) as screen:
            while True:
                try:
                    shown += screen.read(1000).decode()
                except OSError:  # As Linux ends a terminal that nobody holds any more.
                    return shown
                if answer and shown.endswith("[y/N]: "):
                    screen.write(answer.encode())
                    answer = ""
                process.poll()


async def test_without_a_terminal_it_halts_and_says_what_approves_it(
    stage: Stage, tmp_path: Path
) -> None:
    ended = await rebuild(stage, tmp_path)
    assert ended.code == 1
    assert ended.out.splitlines() == ["The swap would change:", *CHANGES]
    assert ended.err == (
        "The rebuild stopped: 1 row of totals would vanish; `sidecar projections rebuild totals "
        "--yes` swaps it, `--cancel` drops it. The live copy goes on.\n"
    )
    assert ("by-hand", 7, 1) in await read(stage)
    ended = await rebuild(stage, tmp_path, "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[:-1] == ["The swap changed:", *CHANGES]
    assert await read(stage) == await oracle(stage)


async def test_in_a_terminal_it_asks(stage: Stage, tmp_path: Path) -> None:
    shown = await rebuild_in_terminal(stage, tmp_path, "n\n")
    assert "would vanish" in shown
    assert ("by-hand", 7, 1) in await read(stage)
    shown = await rebuild_in_terminal(stage, tmp_path, "y\n")
    assert "The new copy of totals is in place" in shown
    assert await read(stage) == await oracle(stage)


async def test_in_place_is_done_for_a_yes_alone(stage: Stage, tmp_path: Path) -> None:
    before = await read(stage)
    ended = await rebuild(stage, tmp_path, "--in-place")
    assert ended.code == 1
    assert "All rows of totals are deleted (10 of totals)" in ended.err
    assert "Nothing was changed. `sidecar projections rebuild totals --in-place --yes`" in ended.err
    assert await read(stage) == before
    ended = await rebuild(stage, tmp_path, "--in-place", "--yes")
    assert ended.code == 0
    assert ended.out == "totals is emptied and fills again; see `sidecar projections list`.\n"
    await until_live(stage)
    assert await read(stage) == await oracle(stage)


async def test_what_the_log_lost_is_said_at_once(stage: Stage, tmp_path: Path) -> None:
    await stage.pool.execute("DELETE FROM sidecar.events WHERE position = 7")
    ended = await rebuild(stage, tmp_path, "--no-wait")
    assert ended.err == "The log lost the event at position 7.\n"
