"""Where what is remembered of the log is kept: in a file, and in the database itself.

The file outlives a database that is restored; the row outlives a log that is restored alone, and a
data directory that is not kept.
"""

import asyncio
import logging
import time
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from sidecar.postgres.connection import RawConnection, is_lost
from sidecar.postgres.log_memory.log_file import Kept, LogFile, decode
from sidecar.postgres.query import sql
from sidecar.postgres.schema import current_schema

ROW_SECONDS: Final = 10.0

logger = logging.getLogger(__name__)


class LogPlaces:
    """The places of one process; what fails there is told once, and held against nobody.

    Args:
        directory: Where the file is; None for no file.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory: Final = directory
        self._file: LogFile | None = None
        self._writing: asyncio.Task[None] | None = None
        # What each place lacks; the end of a burst of events waits here for its turn.
        self._due_in_file: Kept | None = None
        self._due_in_row: Kept | None = None
        self._told: set[str] = set()
        self._row_mono = float("-inf")

    async def read(self, connection: RawConnection, *, with_row: bool) -> Kept | None:
        """Return what reaches furthest; None where nothing is kept."""
        found = (
            await self._read_file(connection),
            await self._read_row(connection) if with_row else None,
        )
        kept = [one for one in found if one is not None and one.events]
        return max(kept, key=lambda one: one.memory.last_position, default=None)

    def keep(self, kept: Kept) -> None:
        """Have it written by the next calls of `write`."""
        self._due_in_file = self._due_in_row = kept

    async def write(self, connection: RawConnection) -> None:
        """Write what is due: to the file soon, and to the database now and then."""
        if self._file is not None and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write_file(self._file))
        now_mono = time.monotonic()
        if self._due_in_row is not None and now_mono - self._row_mono > ROW_SECONDS:
            self._row_mono = now_mono
            await self._write_row(connection, self._due_in_row)
            self._due_in_row = None

    async def close(self) -> None:
        """Wait until the file has what is due."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._file is not None:
            await self._write_file(self._file, is_last=True)

    async def _read_file(self, connection: RawConnection) -> Kept | None:
        if self._directory is None:
            return None
        database = await connection.fetchval(sql("read_database_name"))
        self._file = LogFile(self._directory, database, current_schema())
        try:
            return await asyncio.to_thread(self._file.read)
        except (OSError, ValueError) as error:
            self._tell(str(self._file.path), error)
            return None

    async def _read_row(self, connection: RawConnection) -> Kept | None:
        text = await connection.fetchval(sql("read_log_memory"))
        try:
            return None if text is None else decode(text)
        except ValueError as error:
            self._tell("sidecar.log_memory", error)
            return None

    async def _write_file(self, file: LogFile, *, is_last: bool = False) -> None:
        kept = self._due_in_file
        if kept is None:
            return
        try:
            has_it = await asyncio.to_thread(file.write, kept, is_last=is_last)
        except OSError as error:
            has_it = True
            self._tell(str(file.path), error)
        if has_it and self._due_in_file is kept:
            self._due_in_file = None

    async def _write_row(self, connection: RawConnection, kept: Kept) -> None:
        text = msgspec.json.encode(kept).decode()
        try:
            await connection.execute(sql("keep_log_memory"), kept.memory.last_position, text)
        except asyncpg.PostgresError as error:
            if is_lost(connection, error):
                raise
            self._tell("sidecar.log_memory", error)

    def _tell(self, place: str, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if place not in self._told:
            self._told.add(place)
            logger.warning(
                "What is remembered of the log cannot be kept in %s: %s. It is kept elsewhere",
                place,
                reason or type(error).__name__,
                extra={"event": "sidecar.log.unkept"},
            )
