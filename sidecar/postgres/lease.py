"""Leases as advisory locks: whoever's session ends has given them back."""

import zlib
from collections.abc import Mapping
from typing import Final

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.projections.projection import Partition
from sidecar.projections.share import plan_share


class LeaseTable:
    """One worker's leases on one session. When the session ends they are all gone.

    Args:
        connection: Kept for leases alone; whoever opened it closes it.
        partitions: Everything there is to run.
    """

    def __init__(self, connection: RawConnection, partitions: tuple[Partition, ...]) -> None:
        self.mine: frozenset[Partition] = frozenset()
        self._connection: Final = connection
        self._by_key: Final[Mapping[int, Partition]] = {key_of(p): p for p in partitions}
        self._pid: Final = connection.get_server_pid()

    async def join(self) -> None:
        """Count as a worker from now on."""
        await self._connection.execute(sql("join_members"))

    async def share(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        """Take and give back leases towards a fair share; return those gained and those to lose.

        Leases to lose are still held; stop their work, then `release` them.
        """
        rows = await self._connection.fetch(sql("list_leases"))
        held = {row["key"]: row["pid"] for row in rows}
        others = frozenset(
            partition
            for key, partition in self._by_key.items()
            if held.get(key, self._pid) != self._pid
        )
        members = await self._connection.fetchval(sql("count_members"))
        plan = plan_share(self._by_key.values(), self.mine, others, members, self._pid)
        gained = frozenset([p for p in plan.take if await self._try(p)])
        self.mine |= gained
        return gained, frozenset(plan.give)

    async def release(self, partition: Partition) -> None:
        """Give a lease back."""
        await self._connection.execute(sql("release_lease"), _signed(key_of(partition)))
        self.mine -= {partition}

    async def _try(self, partition: Partition) -> bool:
        return bool(await self._connection.fetchval(sql("try_lease"), _signed(key_of(partition))))


def key_of(partition: Partition) -> int:
    """Return the lock key of a partition, as `pg_locks.objid` shows it (unsigned 32 bits)."""
    return zlib.crc32(f"{partition.copy}:{partition}".encode())


def _signed(key: int) -> int:
    return key - 2**32 if key >= 2**31 else key
