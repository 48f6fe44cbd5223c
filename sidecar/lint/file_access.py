"""Who else can read a file that secrets were written into."""

import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ANSWER_SECONDS: Final = 5.0
_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH


def exposures(path: Path) -> Iterator[str]:
    """Yield who can read the file, or soon will; a person decides whether that is meant.

    Raises:
        OSError: The file is not there.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        whose = "Every user" if mode & stat.S_IROTH else "Its group"
        yield f"{whose} can read {path}, its mode is {mode:04o}. Run: chmod 600 {path}"
    if _git(path, "ls-files", "--error-unmatch") == 0:
        yield (
            f"git tracks {path}: the next commit publishes its secrets. "
            f"Run: git rm --cached {path}, and list it in .gitignore."
        )
    elif _git(path, "check-ignore", "--quiet") == 1:
        yield f"git does not ignore {path}: list it in .gitignore before somebody adds it."


def _git(path: Path, *command: str) -> int | None:
    """Ask git about a file; `None` where it is not installed or does not answer."""
    program = shutil.which("git")
    if program is None:
        return None
    target = path.absolute()
    # A repository may name a program of its own to watch its files; it is not to be run.
    options = ("-c", "core.fsmonitor=false", "-C", str(target.parent))
    try:
        return subprocess.run(  # noqa: S603 - git, about a file that a person named
            [program, *options, *command, "--", target.name],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_ANSWER_SECONDS,
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return None
