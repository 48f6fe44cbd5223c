"""Files of the data directory that only their owner reads, and that are never half written."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# Neither a link nor a pipe may be put in the file's place and hold the reader up.
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """Yield a descriptor of a file, made for this user alone; it is closed afterwards."""
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_private(found: os.stat_result, directory: Path) -> bool:
    """Return True for a file of this user, or, for root, of the directory's owner, and no other."""
    owners = {os.geteuid(), directory.stat().st_uid}
    return stat.S_ISREG(found.st_mode) and not found.st_mode & _OTHERS and found.st_uid in owners


def give_away(descriptor: int, directory: Path) -> None:
    """Leave what root makes to the directory's owner, whose sidecar has to read it."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def make_directory(directory: Path) -> None:
    """Make it for this user alone, and out of the sight of git."""
    if not directory.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / ".gitignore").write_text("*\n", "ascii")
