"""What is remembered of the log in a file of the data directory, so that it outlives the database.

The processes of a sidecar share the file. It takes the place of the one before as a whole, and one
that cannot be written, or that is damaged, is as good as none: whoever is told of it goes on.
"""

import hashlib
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec

from sidecar.config.private_file import MAKE, READ, give_away, is_private, make_directory, opened
from sidecar.projections.log_memory import LogIdentity, LogMemory, Mark

# A thousand events take about 30 KB.
_LONGEST_BYTES: Final = 1024 * 1024
_REWRITTEN_SECONDS: Final = 1.0

_Position = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$")]


class Kept(msgspec.Struct, frozen=True):
    """The memory as it is kept; `address` is a digest of where the database was."""

    events: list[tuple[_Position, _Digest]]
    address: str = ""
    place: str = ""
    table: str = ""
    timeline: int = 0
    lsn: int = 0

    @classmethod
    def of(cls, memory: LogMemory, address: str) -> "Kept":
        """Make what is kept of a memory."""
        identity = memory.identity
        where = (identity.place, identity.table, identity.timeline, identity.lsn)
        return cls(list(memory.events), address, *where)

    @property
    def memory(self) -> LogMemory:
        """The memory that was kept."""
        events: dict[int, Mark] = {mark[0]: mark for mark in self.events}
        identity = LogIdentity(self.place, self.table, self.timeline, self.lsn)
        return LogMemory(identity, tuple(sorted(events.values())))


def digest(*parts: bytes) -> str:
    """Return what is remembered in the place of an id, or of an address."""
    return hashlib.blake2s(b"\0".join(parts), digest_size=6).hexdigest()


def decode(text: bytes | str) -> Kept:
    """Read what is kept.

    Raises:
        ValueError: It is damaged.
    """
    return msgspec.json.decode(text, type=Kept)


class LogFile:
    """The file of one database, by its name and that of the schema."""

    def __init__(self, directory: Path, database: str, schema: str) -> None:
        self.path: Final = directory / f"log-{digest(database.encode(), schema.encode())}.json"

    def read(self) -> Kept | None:
        """Return what is kept; None where there is nothing.

        Raises:
            OSError: It cannot be read.
            ValueError: It is damaged, or not of this user alone.
        """
        try:
            with opened(self.path, READ) as descriptor:
                if not is_private(os.fstat(descriptor), self.path.parent):
                    raise ValueError("others may have written it")
                with open(descriptor, "rb", closefd=False) as file:
                    return decode(file.read(_LONGEST_BYTES))
        except FileNotFoundError:
            return None

    def write(self, kept: Kept, *, is_last: bool = False) -> bool:
        """Keep it, unless another process has just written; return False when it is still due.

        Args:
            kept: What is remembered.
            is_last: Whether nobody will come again to write it.

        Raises:
            OSError: It cannot be written.
        """
        if self._is_fresh():
            if self._has(kept):
                return True
            if not is_last:
                return False
        make_directory(self.path.parent)
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            with opened(beside, MAKE) as descriptor:
                give_away(descriptor, self.path.parent)
                with open(descriptor, "wb", closefd=False) as file:
                    file.write(msgspec.json.encode(kept))
                os.fsync(descriptor)
            beside.replace(self.path)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
        return True

    def _has(self, kept: Kept) -> bool:
        """Return True when the file has the last event of this."""
        with suppress(OSError, ValueError):
            known = self.read()
            return known is not None and kept.events[-1] in known.events
        return False

    def _is_fresh(self) -> bool:
        try:
            age_seconds = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return False
        return 0 <= age_seconds < _REWRITTEN_SECONDS
