"""A worker's process that cannot be started, and a supervisor with a bug."""

import asyncio
import logging
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from sidecar.process.supervisor import Supervisor
from sidecar.process.worker_place import WorkerPlace, WorkerState
from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import TARGET, environment, finish, ready_service

WORKERS = ("ending", "healthy")
CANARY = "sk_live_51Q9vT2qLmR7xWc4ZbN8kHd"
UNSTARTED = "sidecar.worker.unstarted"
BUG = """
from sidecar.process.supervisor import Supervisor

async def fail(self, worker, reader, ended):
    raise LookupError("a bug of the supervisor, " + "c4nary-secret-of-the-service-0123456789")

Supervisor._watch = fail
"""


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    """One worker that ends at once, and a healthy one."""
    write_program(tmp_path / "ending", "exit 0")
    write_program(tmp_path / "healthy", "exec sleep 60")
    workers = [WorkerPlace(n, [str(tmp_path / n)], dict(os.environ)) for n in WORKERS]
    supervisor = Supervisor(workers, hang_seconds=60.0, stop_seconds=2.0)
    task = asyncio.create_task(supervisor.run())
    yield supervisor
    supervisor.stop()
    await task


async def test_a_worker_that_cannot_be_started_is_tried_again_and_ends_no_other(
    tmp_path: Path, supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    ending, healthy = supervisor.workers

    async def is_healthy() -> bool:
        return healthy.pid is not None

    await eventually(is_healthy)
    pid = healthy.pid
    (tmp_path / "ending").unlink()

    async def count_unstarted() -> bool:
        return len([r for r in caplog.records if getattr(r, "event", "") == UNSTARTED]) >= 3

    await eventually(count_unstarted)
    assert ending.state in {WorkerState.WAITING, WorkerState.STARTING}
    told = next(r for r in caplog.records if getattr(r, "event", "") == UNSTARTED)
    assert told.levelno == logging.ERROR
    assert "FileNotFoundError" in told.getMessage()
    write_program(tmp_path / "ending", "exec sleep 60")

    async def is_back() -> bool:
        return ending.pid is not None

    await eventually(is_back)
    assert healthy.pid == pid


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is of Linux")
async def test_a_fork_without_room_leaves_the_other_workers_alone(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    async with ready_service(tmp_path, database, SIDECAR_WORKER_HANG_SECONDS="60") as program:
        pid = program.process.pid
        worker = (await program.worker())["pid"]
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        # Open descriptors stay; there is none for the pipe of a new process.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        psutil.Process(worker).kill()
        line = await program.line(UNSTARTED)
        assert line["level"] == "ERROR"
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

        async def is_up() -> bool:
            shown = await program.worker()
            return bool(shown["state"] == "running" and shown["pid"] != worker)

        await eventually(is_up)
        await ledger.pay("a")
        await ledger.expect_equal()


def test_a_bug_of_the_supervisor_is_an_error_exit(tmp_path: Path, database: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(BUG)
    environ = environment(
        tmp_path,
        ENVIRONMENT="development",
        DATABASE_URL=database,
        SECRET_KEY="c4nary-secret-of-the-service-0123456789",
        SIDECAR_DRAIN_DELAY_SECONDS="0",
    )
    environ["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    ended = finish(tmp_path, "serve", TARGET, "--port", "0", **environ)
    assert ended.code == 1
    assert "LookupError: a bug of the supervisor, ***" in ended.err
    assert "c4nary" not in ended.out + ended.err


@pytest.mark.parametrize("command", [("run", "ending:publisher"), ("check",)])
def test_what_the_project_ends_a_process_with_shows_no_secret(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "ending.py").write_text(
        "import os, sys\nsys.exit(Exception('no till for', os.environ['STRIPE_SECRET_KEY']))\n"
    )
    (tmp_path / "sidecar.toml").write_text('rules = ["ending"]' if command == ("check",) else "")
    ended = finish(tmp_path, *command, STRIPE_SECRET_KEY=CANARY, SIDECAR_AGENT_PORT="0")

    assert ended.code != 0
    assert "no till for" in ended.err
    assert CANARY not in ended.out + ended.err
