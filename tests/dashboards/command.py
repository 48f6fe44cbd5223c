"""Running a program that must succeed."""

import os
import subprocess
from pathlib import Path

# promtool spends a third of its time on collecting garbage, and ends soon.
_SELDOM = {"GOGC": "400"}


def run(*command: str | Path) -> str:
    """Give the output of the program; what it complained of becomes the test's message."""
    environ = os.environ | _SELDOM
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=100, env=environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
