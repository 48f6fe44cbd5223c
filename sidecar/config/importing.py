"""Where the project's own modules are found."""

import sys
from pathlib import Path


def open_working_directory() -> None:
    """Make modules of the working directory importable, as they are for `python -m`."""
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
