"""Running a program that must succeed."""

import subprocess
from pathlib import Path


def run(*command: str | Path) -> str:
    """Give the output of the program; what it complained of becomes the test's message."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
