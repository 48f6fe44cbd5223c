"""Remembers the log for one process, and compares it at each connect with the one that is there."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg

from sidecar.config.dsn import Dsn
from sidecar.postgres.connection import RawConnection, is_lost
from sidecar.postgres.log_memory.log_file import Kept, digest
from sidecar.postgres.log_memory.log_loss import is_accepted, keep_loss
from sidecar.postgres.log_memory.log_places import LogPlaces
from sidecar.postgres.query import sql
from sidecar.projections.log_memory import (
    MOST_RECENT,
    Judgement,
    LogIdentity,
    LogLook,
    LogMemory,
    Mark,
    Verdict,
    describe_other,
    judge,
    remember,
)

REMEMBER_SECONDS: Final = 1.0
"""As often at most, while the head moves."""
COMPARE_SECONDS: Final = 60.0
"""As often on one session, so that what was erased is not taken for lost later."""

logger = logging.getLogger(__name__)


class LogKeeper:
    """The memory of one process; use it from one task at a time.

    Attributes:
        refusal: Why nothing may run on the database, as a sentence; empty while all is well.
        server_key: Of the server and the table whose log was compared; None before.

    Args:
        dsn: Where the server is. It is kept nowhere but as a digest.
        directory: Where a file outlives the database; None for no file.
    """

    def __init__(self, dsn: str, directory: Path | None = None) -> None:
        self.refusal = ""
        self.server_key: str | None = None
        self._address: Final = _digest_address(dsn)
        self._places: Final = LogPlaces(directory)
        self._memory: LogMemory | None = None
        self._is_read = False
        # Of what was read: another address may lead to another database, and rightly so.
        self._is_moved = False
        self._told = ""
        self._remembered_mono = self._compared_mono = float("-inf")

    async def compare(self, connection: RawConnection) -> str:
        """Compare the log with what is remembered; return why nothing may run on it, if so.

        That its end is lost is recorded, and handlers wait, as soon as the schema has a place for
        it.
        """
        if not await connection.fetchval(sql("has_log")):
            return ""
        key = await connection.fetchval(sql("read_server_key"))
        has_place = await connection.fetchval(sql("has_log_memory"))
        await self._recall(connection, with_row=has_place)
        is_usable = await self._judge(connection, has_place=has_place)
        self.server_key = key if is_usable else None
        self._compared_mono = time.monotonic() if is_usable else float("-inf")
        return self.refusal

    async def attend(self, connection: RawConnection, head: int) -> None:
        """Remember the log up to a safe head, now and then; call it as often as is handy."""
        now_mono = time.monotonic()
        if now_mono - self._remembered_mono < REMEMBER_SECONDS:
            return
        self._remembered_mono = now_mono
        is_due = now_mono - self._compared_mono > COMPARE_SECONDS
        if is_due or (head > self._last_position and not await self._is_compared(connection)):
            await self.compare(connection)
        if head > self._last_position and self.server_key is not None:
            await self._remember(connection, head)
        if self.server_key is not None:
            await self._places.write(connection)

    def recompare(self) -> None:
        """Have the log compared again soon: it may be another one."""
        self._remembered_mono = self._compared_mono = float("-inf")

    async def close(self) -> None:
        """Wait until what is remembered is written."""
        await self._places.close()

    @property
    def _last_position(self) -> int:
        return self._memory.last_position if self._memory else 0

    async def _is_compared(self, connection: RawConnection) -> bool:
        return bool(self.server_key == await connection.fetchval(sql("read_server_key")))

    async def _remember(self, connection: RawConnection, head: int) -> None:
        recent = (self._last_position, head, MOST_RECENT)
        rows = await connection.fetch(sql("read_log_tail"), *recent)
        if self._memory is None and len(rows) == MOST_RECENT:
            rows += await connection.fetch(sql("read_log_anchors"), rows[-1]["position"])
        if rows:
            identity = await _read_identity(connection)
            self._memory = remember(self._memory, identity, _marks(rows))
            self._places.keep(Kept.of(self._memory, self._address))

    async def _recall(self, connection: RawConnection, *, with_row: bool) -> None:
        """Read what is kept, once: the process itself knows better from then on."""
        if self._is_read:
            return
        kept = await self._places.read(connection, with_row=with_row)
        if kept is not None:
            self._memory, self._is_moved = kept.memory, kept.address != self._address
        self._is_read = True

    async def _judge(self, connection: RawConnection, *, has_place: bool) -> bool:
        """Judge the log and act on it; return False when it is not to be used as it is, or yet."""
        self.refusal = ""
        if self._memory is None:
            return True
        positions = [position for position, _ in self._memory.events]
        row = await connection.fetchrow(sql("look_up_log"), positions)
        # A standby may lag, and be promoted in the middle of a session.
        if row is None or row["is_standby"]:
            return False
        # Told by itself.
        if row["is_set_back"]:
            return True
        found = dict(zip(row["positions"], map(digest, row["ids"]), strict=True))
        look = LogLook(await _read_identity(connection), found, row["is_empty"], row["drawn"])
        return await self._take(connection, judge(self._memory, look), has_place=has_place)

    async def _take(self, connection: RawConnection, judged: Judgement, *, has_place: bool) -> bool:
        memory = judged.memory
        if judged.verdict is Verdict.OTHER:
            self.refusal = await self._refuse(connection, memory, has_place=has_place)
            memory = LogMemory(LogIdentity(), ())
        elif judged.loss is not None and has_place:
            await keep_loss(connection, judged.loss)
        elif judged.loss is not None:
            return False
        if not self.refusal:
            self._memory = memory if memory.events else None
        return not self.refusal

    async def _refuse(
        self, connection: RawConnection, memory: LogMemory, *, has_place: bool
    ) -> str:
        """Return why another database is left alone; empty when somebody means it to be used."""
        if has_place and await is_accepted(connection, memory.events[-1][1]):
            return ""
        if self._is_moved:
            logger.warning(
                "DATABASE_URL was changed, and leads to another database, whose log is remembered "
                "from now on",
                extra={"event": "sidecar.log.other_database"},
            )
            return ""
        refusal = f"{describe_other(memory)}."
        if refusal != self._told:
            self._told = refusal
            logger.critical("%s", refusal, extra={"event": "sidecar.log.other_database"})
        return refusal


async def _read_identity(connection: RawConnection) -> LogIdentity:
    """Return where the log is; an empty one where the server does not tell."""
    try:
        row = await connection.fetchrow(sql("read_log_identity"))
    except asyncpg.PostgresError as error:
        if is_lost(connection, error):
            raise
        return LogIdentity()
    return LogIdentity() if row is None else LogIdentity(*row)


def _marks(rows: Sequence[asyncpg.Record]) -> list[Mark]:
    return [(row["position"], digest(row["id"])) for row in rows]


def _digest_address(dsn: str) -> str:
    """Return a digest of where a database is, without who asks for it."""
    found = Dsn.find(dsn)
    if found is None:
        return ""
    hosts = (f"{host.name}:{host.port}" for host in found.hosts)
    return digest(*(part.encode() for part in (*hosts, found.database or "")))
