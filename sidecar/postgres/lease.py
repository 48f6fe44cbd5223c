"""Leases as advisory locks, which end with the session that holds them."""

import logging
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg

from sidecar.postgres.connection import (
    ANSWER_SECONDS,
    RawConnection,
    open_session,
    translate_loss,
)
from sidecar.postgres.query import sql
from sidecar.postgres.schema import work_channel
from sidecar.projections.assignment import assign_partitions
from sidecar.projections.projection import Partition

Restore: TypeAlias = Callable[[RawConnection, frozenset[str]], Awaitable[None]]
"""Registers projections again whose checkpoints are gone."""

logger = logging.getLogger(__name__)


class LeaseTable:
    """One worker's leases on one session. When it ends they are all gone.

    Its methods raise `StoreUnavailableError` then.

    Args:
        connection: Used for nothing else; its owner closes it.
        list_known: Returns the partitions that this worker can run by now. One without a checkpoint
            is left alone, as when a newer release runs the projection in another number of
            partitions.
        restore: Called once with projections that lost their checkpoints; the others go on.
    """

    def __init__(
        self,
        connection: RawConnection,
        list_known: Callable[[], Iterable[Partition]],
        restore: Restore | None = None,
    ) -> None:
        self.mine: frozenset[Partition] = frozenset()
        self._connection: Final = connection
        self._list_known: Final = list_known
        self._restore: Final = restore
        self._gone: frozenset[str] = frozenset()
        self._counts: dict[str, int] = {}
        self._left: frozenset[str] = frozenset()
        self._members_key: int | None = None
        self._pid: Final = connection.get_server_pid()

    async def join(self) -> None:
        """Count, from now on, as a worker among those with the same partitions.

        Workers of another service share nothing with these: if they were counted, each share would
        be too small, and some partitions would not run.
        """
        known = tuple(self._list_known())
        before, key = self._members_key, _hash("\n".join(sorted(map(str, known))))
        if key == before:
            return
        await self._connection.execute(sql("join_members"), _signed(key))
        if before is not None:
            await self._connection.execute(sql("leave_members"), _signed(before))
        self._counts = {p.projection: p.count for p in known}
        self._members_key = key

    async def share(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        """Take leases towards a fair share; return those gained and those to give back.

        Leases to give back are still held; stop their work, then `release` them.
        """
        with translate_loss(self._connection, "The session of the leases ended."):
            await self.join()
            partitions = await self._list_runnable()
            rows = await self._connection.fetch(sql("list_leases"))
            held = {row["key"]: row["pid"] for row in rows}
            others = frozenset(p for p in partitions if held.get(key_of(p), self._pid) != self._pid)
            members = await self._connection.fetchval(sql("count_members"), self._members_key)
            plan = assign_partitions(partitions, self.mine, others, members, self._pid)
            gained = frozenset([p for p in plan.take if await self._try(p)])
        self.mine |= gained
        return gained, frozenset(plan.give)

    async def release(self, partition: Partition) -> None:
        """Give a lease back."""
        with translate_loss(self._connection, "The session of the leases ended."):
            await self._connection.execute(sql("release_lease"), _signed(key_of(partition)))
        self.mine -= {partition}

    async def _list_runnable(self) -> list[Partition]:
        """Return the partitions that this worker can run, and their rebuilds."""
        stored = await self._list_stored()
        if await self._restore_gone(self._find_gone(stored)):
            stored = await self._list_stored()
        self._log_left(stored)
        return [p for p in stored if self._counts.get(p.projection) == p.count]

    def _find_gone(self, stored: Iterable[Partition]) -> set[str]:
        """Return the projections that lost checkpoints, all of them or those of some partitions."""
        live: dict[str, list[int]] = {}
        for partition in stored:
            if partition.copy == "live":
                live.setdefault(partition.projection, []).append(partition.count)
        return {
            name
            for name, own in self._counts.items()
            if name not in live or (live[name][0] == own and len(live[name]) < own)
        }

    async def _list_stored(self) -> list[Partition]:
        return [Partition(*row) for row in await self._connection.fetch(sql("list_runnable"))]

    async def _restore_gone(self, names: AbstractSet[str]) -> bool:
        """Register those again that lost their checkpoints; return True when there are new ones."""
        new, self._gone = frozenset(names - self._gone), frozenset(names)
        if not new:
            return False
        logger.critical(
            "The checkpoints of %s are gone from the database: deleted, or the server was replaced "
            "by one that never had them. Nobody runs it; the others go on",
            ", ".join(sorted(new)),
            extra={"event": "sidecar.checkpoint.gone", "projections": sorted(new)},
        )
        if self._restore is not None:
            await self._restore(self._connection, new)
        return True

    def _log_left(self, stored: Iterable[Partition]) -> None:
        """Log once which projections run in another number of partitions now."""
        counts = {p.projection: p.count for p in stored if p.copy == "live"}
        left = frozenset(name for name, own in self._counts.items() if counts.get(name, own) != own)
        for name in sorted(left - self._left):
            logger.warning(
                "Projection %s now runs in %d partition(s). This worker is of another release, "
                "which knows %d, and leaves it to others; end this worker once they run",
                name,
                counts[name],
                self._counts[name],
                extra={"event": "sidecar.projection.left", "projection": name},
            )
        self._left = left

    async def _try(self, partition: Partition) -> bool:
        return bool(await self._connection.fetchval(sql("try_lease"), _signed(key_of(partition))))


@asynccontextmanager
async def open_leases(
    dsn: str,
    list_known: Callable[[], Iterable[Partition]],
    on_work: Callable[[], None] = lambda: None,
    *,
    application_name: str,
    answer_seconds: float = ANSWER_SECONDS,
    restore: Restore | None = None,
) -> AsyncIterator[LeaseTable]:
    """Open the session that a worker's leases live on, and join.

    Args:
        dsn: Where the server is. It appears in no message.
        list_known: As for `LeaseTable`.
        on_work: Called when there is a copy to fill, so that its lease is taken at once.
        application_name: The name of the session at the server.
        answer_seconds: How long a statement may go without an answer.
        restore: As for `LeaseTable`.

    Raises:
        StoreUnavailableError: It cannot be opened, ended, or had no answer in time.
    """
    async with open_session(
        dsn, application_name=application_name, answer_seconds=answer_seconds
    ) as session:
        table = LeaseTable(session, list_known, restore)
        await table.join()
        # Behind a transaction pooler nothing arrives, and the next share finds it.
        await session.add_listener(work_channel(), lambda *_: on_work())
        yield table


async def list_held(connection: RawConnection) -> frozenset[int]:
    """Return the keys of all leases that are held."""
    return frozenset(row["key"] for row in await connection.fetch(sql("list_leases")))


async def is_any_held(
    connection: RawConnection, projection: str, rows: Iterable[asyncpg.Record]
) -> bool:
    """Return True when a worker runs one of a projection's live partitions, given as rows."""
    held = await list_held(connection)
    parts = (Partition(projection, row["partition"], row["partitions"]) for row in rows)
    return any(key_of(part) in held for part in parts)


def key_of(partition: Partition) -> int:
    """Return the lock key of a partition, as `pg_locks.objid` shows it (unsigned 32 bits)."""
    return _hash(f"{partition.copy}:{partition}")


def _hash(text: str) -> int:
    return zlib.crc32(text.encode())


def _signed(key: int) -> int:
    return key - 2**32 if key >= 2**31 else key
