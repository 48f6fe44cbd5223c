"""What the tests of dashboards, rules and runbooks have in common."""

import os
import shutil
from collections.abc import Callable

import pytest


@pytest.fixture
def binary() -> Callable[[str], str]:
    """Give the path of a program that the test cannot do without."""
    return _path_of


def _path_of(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        missing = f"{name} is not installed on this machine"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path
