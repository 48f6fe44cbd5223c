"""Every process that a program started, found even after the program itself is gone."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from tests.incidents.patience import eventually

MARK = "INCIDENT_FAMILY"


class Family:
    """Processes that inherited a mark in their environment, or name a folder in their command.

    PostgreSQL overwrites its environment and drops the user it was started by, but its postmaster
    names its data directory.
    """

    def __init__(self, mark: str, folder: Path) -> None:
        self._mark = mark
        self._folder = str(folder)

    def members(self) -> dict[int, str]:
        """Return the command of each member that runs, by process id."""
        return {process.pid: " ".join(process.cmdline()) for process in self._find()}

    async def is_gone(self) -> bool:
        """Tell whether nobody is left."""
        return not self.members()

    async def assert_gone(self, within_seconds: float) -> None:
        """Fail, naming who is left, unless everybody ends in time."""
        try:
            await eventually(self.is_gone, within_seconds)
        except AssertionError:
            left = self.members()
            assert not left, left

    def kill(self) -> None:
        """End everybody who is left."""
        for process in self._find():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _find(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.status() != psutil.STATUS_ZOMBIE and self._is_member(process):
                    yield process

    def _is_member(self, process: psutil.Process) -> bool:
        if any(self._folder in word for word in process.cmdline()):
            return True
        try:
            return bool(process.environ().get(MARK) == self._mark)
        except psutil.AccessDenied:
            return False
