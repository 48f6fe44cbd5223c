"""Every command of the runbooks works, typed as it stands there, against a program that runs."""

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.demo.shop import OrderPlaced
from tests.dashboards.runbook import all_commands
from tests.incidents.drills.stand import Stand, standing
from tests.incidents.patience import eventually
from tests.incidents.program import Program, environment
from tests.incidents.tool import find_tool

# A retry and a discard need each a dead letter that is still there; a resume, what was paused.
ORDER = (
    *("show", "retry <id>", "discard", "pause", "resume", "retry --projection", "rebuild"),
    *("accept <projection> --at", "accept", "remove"),
)
# Which no worker runs: it waits for a decision, belongs to another service, and is gone from it.
GONE = "old_labels"
OLD = "older_labels"
CHECKPOINT = (
    "INSERT INTO sidecar.checkpoints (projection, partition, partitions, kind, tables, service,"
    f" position, state, block) VALUES ('{GONE}', 0, 1, 'projection', '{{}}', 'old-shop', 0,"
    " 'failed', 'filled')"
)
DECLARATION = (
    f"INSERT INTO sidecar.declarations (projection, type) VALUES ('{GONE}', 'LabelVoided')"
)
# A second time changes nothing.
RENAMED = (
    "INSERT INTO sidecar.acceptances (projection, what, reason)"
    f" VALUES ('{GONE}', 'renamed from {OLD}', 'test')"
)
SECONDS = 30.0
LETTERS = 4


def in_order() -> list[str]:
    """Give the commands, those that change something last and in the order of their use."""

    def place(command: str) -> tuple[int, int]:
        places = [number for number, part in enumerate(ORDER) if part in command]
        return (places[0] if places else -1, len(command))

    return sorted(all_commands(), key=place)


def runs_on(command: str) -> bool:
    """Tell whether a command goes on until it is ended."""
    return command.startswith(("sidecar serve", "sidecar run"))


@pytest.mark.timeout(240)
async def test_every_command_of_the_runbooks_works(tmp_path: Path) -> None:
    prepare(tmp_path)
    async with standing(tmp_path) as stand:
        for number in range(LETTERS):
            order = OrderPlaced(f"lost-{number}", "Ada", "Atlantis", 1200)
            await stand.append(f"order-lost-{number}", order)
        letters = await eventually(lambda: open_letters(stand.program))
        await stand.run("INSERT INTO shipping_rates VALUES ('Atlantis', 9900)")
        for statement in (CHECKPOINT, DECLARATION, RENAMED):
            await stand.run(statement)
        async with stand.transaction("SELECT 1"):
            for command in in_order():
                number = letters.pop() if "<id>" in command else 0
                typed = type_in(command, stand, str(number))
                code, out = await asyncio.to_thread(execute, typed, stand, goes_on=runs_on(command))
                assert code == 0, f"{command}: exit code {code}\n{out}"


async def open_letters(program: Program) -> list[int]:
    letters = [failure["id"] for failure in (await program.status())["failures"]]
    return letters if len(letters) >= LETTERS else []


def prepare(folder: Path) -> None:
    """Put what the commands name into a folder that PATH leads to."""
    (folder / "shop.py").write_text("from sidecar.demo.shop import publisher\n")
    binaries = folder / "bin"
    binaries.mkdir()
    sidecar = binaries / "sidecar"
    sidecar.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sidecar "$@"\n')
    sidecar.chmod(0o755)


def type_in(command: str, stand: Stand, number: str) -> str:
    """Fill in what a person would: the projection, the dead letter, this machine's port."""
    is_settled = "accept" in command or "remove" in command
    return (
        command.replace("<projection>", GONE if is_settled else "shipping_labels")
        .replace("<id>", number)
        .replace("<position>", "1")
        .replace("<module:publisher>", "shop:publisher")
        .replace("<stream>", "order-lost-0")
        .replace("<type>", "LabelVoided")
        .replace("<old>", OLD)
        .replace("<token>", "0123456789ab")
        # In a terminal it asks.
        .replace("--in-place", "--in-place --yes")
        .replace("<text>", "test")
        .replace("127.0.0.1:8686", f"127.0.0.1:{stand.port}")
    )


def execute(command: str, stand: Stand, *, goes_on: bool) -> tuple[int, str]:
    find_tool("curl")
    token = stand.program.bearer()["Authorization"].removeprefix("Bearer ")
    given = {"SIDECAR_PORT": "0", "SIDECAR_TOKEN": token, "OTEL_SERVICE_NAME": "shop"}
    environ = environment(stand.folder, **stand.environ(**given))
    path = f"{stand.folder / 'bin'}:{os.environ['PATH']}"
    # A command that goes on is ended as a person ends it, and must end well.
    limit = ["timeout", "--signal=INT", "5"] if goes_on else []
    fail = command.replace("curl ", "curl --fail-with-body ", 1)
    done = subprocess.run(
        [*limit, "sh", "-c", f"exec {fail}"],
        check=False,
        cwd=stand.folder,
        env=environ | {"PATH": path, "PYTHONPATH": f"{stand.folder}:{environ['PYTHONPATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    timed_out = 124
    code = 0 if goes_on and done.returncode == timed_out else done.returncode
    return code, done.stdout + done.stderr
