"""Orphans are buried where they come to this process, and nobody's exit status is taken."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")

BECOME_SUBREAPER = "import ctypes; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)"
WORK = """
import asyncio, json, multiprocessing, os, subprocess, sys, time
from sidecar.process.reaper import is_reaper, leave_a_reaper

leave_a_reaper()
orphans = [
    int(subprocess.check_output(["sh", "-c", "sleep 0.05 >/dev/null & echo $!"])) for _ in range(5)
]
while any(os.path.exists(f"/proc/{orphan}") for orphan in orphans):
    time.sleep(0.01)

async def start():
    return await (await asyncio.create_subprocess_exec("sh", "-c", "exit 8")).wait()

late = subprocess.Popen(["sh", "-c", "exit 9"])
forked = multiprocessing.get_context("fork").Process(target=sys.exit, args=(10,))
forked.start()
time.sleep(0.1)
forked.join()
codes = [subprocess.run(["sh", "-c", "exit 7"]).returncode, asyncio.run(start()), late.wait()]
print(json.dumps([*codes, forked.exitcode, is_reaper()]))
sys.exit(5)
"""
WAIT = """
import signal, sys, time
from sidecar.process.reaper import leave_a_reaper

leave_a_reaper()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(6))
print("up", flush=True)
time.sleep(60)
"""
SECONDS = 30.0


def start(code: str) -> "subprocess.Popen[str]":
    program = f"{BECOME_SUBREAPER}\n{textwrap.dedent(code)}"
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def wait_up(process: "subprocess.Popen[str]") -> psutil.Process:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    [child] = psutil.Process(process.pid).children()
    return child


def test_orphans_are_buried_and_every_child_keeps_its_exit_status() -> None:
    process = start(WORK)
    out, _ = process.communicate(timeout=SECONDS)

    assert json.loads(out) == [7, 8, 9, 10, False]
    assert process.returncode == 5


def test_signals_are_handed_on_and_the_exit_code_back() -> None:
    process = start(WAIT)
    wait_up(process)
    process.send_signal(signal.SIGTERM)

    assert process.wait(SECONDS) == 6
    process.communicate()


def test_the_program_ends_with_its_reaper_and_tells_the_signal_that_ended_it() -> None:
    process = start(WAIT)
    child = wait_up(process)
    process.kill()
    process.communicate()
    child.wait(SECONDS)

    process = start(WAIT)
    wait_up(process).kill()
    assert process.wait(SECONDS) == 128 + signal.SIGKILL
    process.communicate()


def test_elsewhere_nothing_is_left_behind(tmp_path: Path) -> None:
    code = "import os; from sidecar.process.reaper import leave_a_reaper as leave\n"
    code += "before = os.getpid(); leave(); assert os.getpid() == before"
    began_mono = time.monotonic()

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert os.getpid() != 1
    assert time.monotonic() - began_mono < SECONDS
