"""The Unix socket of an agent: a file in a directory that all processes of an application share.

A file that is gone ended in good order; one that nobody listens at is what a killed process left.
"""

import errno
import os
import secrets
import socket
import stat
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final

from sidecar.errors import UsageError

MAX_PATH_BYTES: Final = 107
"""Linux's `sun_path`, without the NUL at its end."""
SUFFIX: Final = ".sock"
_UNBORN: Final = ".new"
_BACKLOG: Final = 128
_DIRECTORY_MODE: Final = 0o700


class Life(Enum):
    """What a socket file says of its process."""

    ALIVE = "alive"
    DEAD = "dead"
    ENDED = "ended"


class AgentSocket:
    """A socket that listens in a directory; `remove` its file when the agent ends.

    Attributes:
        name: The file's name without its suffix; it is unique among all processes.
        listener: The server that uses it closes it.
    """

    def __init__(self, path: Path, listener: socket.socket) -> None:
        self.name: Final = path.stem
        self.listener: Final = listener
        self._path: Final = path
        self._pid: Final = os.getpid()

    def remove(self) -> None:
        """Remove the file: the process ended in good order. In a forked child nothing happens."""
        if os.getpid() == self._pid:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def open_socket(directory: Path) -> AgentSocket:
    """Listen in a directory, which is made for this user alone where it is not there.

    Raises:
        UsageError: The path is longer than a socket's may be.
        OSError: The directory cannot be made, or not be written to.
    """
    directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    path = directory.absolute() / f"{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
    unborn = path.with_suffix(_UNBORN)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(shorten(unborn))
        listener.listen(_BACKLOG)
        # Between `bind` and `listen` it would look like a dead process's.
        unborn.rename(path)
    except BaseException:
        listener.close()
        raise
    return AgentSocket(path, listener)


def shorten(path: Path) -> str:
    """Return a path as the system takes it for a socket: absolute, or relative where that fits.

    Raises:
        UsageError: Neither fits.
    """
    for text in (str(path), os.path.relpath(path)):
        if len(os.fsencode(text)) <= MAX_PATH_BYTES:
            return text
    size = len(os.fsencode(path))
    raise UsageError(
        f"An agent's socket in {path.parent} would have a path of {size} bytes; the system takes "
        f"{MAX_PATH_BYTES} at most. Set SIDECAR_AGENT_DIR to a shorter one."
    )


def list_sockets(directory: Path) -> dict[str, Path]:
    """Return the sockets of a directory by name, the oldest first; none where there is no such.

    Raises:
        OSError: The directory cannot be read.
    """
    found: list[tuple[int, Path]] = []
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            with suppress(FileNotFoundError):
                status = path.lstat()
                if path.name.endswith(SUFFIX) and stat.S_ISSOCK(status.st_mode):
                    found.append((status.st_mtime_ns, path))
    return {path.stem: path for _, path in sorted(found)}


def look_at(path: Path) -> Life:
    """Find out whether a process still listens at a socket, without a request."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        try:
            caller.connect(shorten(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                return Life.DEAD
            return Life.ENDED if error.errno == errno.ENOENT else Life.ALIVE
    return Life.ALIVE


def sweep(directory: Path) -> None:
    """Remove what killed processes left, as far as that is ours to do."""
    with suppress(OSError, UsageError):
        for path in list_sockets(directory).values():
            if look_at(path) is Life.DEAD:
                path.unlink(missing_ok=True)
