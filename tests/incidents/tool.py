"""Programs of others that a test needs."""

import os
import shutil

import pytest


def find_tool(name: str) -> str:
    """Return the path of a program; without it the test is skipped, and fails in CI."""
    path = shutil.which(name)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
    return path
