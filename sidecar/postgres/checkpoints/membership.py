"""The members of a group, kept with its checkpoint: who joins lacks what was applied before."""

from collections.abc import Collection, Mapping
from typing import Final

import asyncpg

from sidecar.errors import CheckpointMovedError, ProjectionError
from sidecar.postgres.checkpoints.block import Block, log_blocked
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.query import sql
from sidecar.projections.members import (
    ANY_MEMBERS,
    MemberTypes,
    describe_joined,
    describe_lacking,
    describe_late,
    find_joined,
    list_lacking,
    read_seen,
)
from sidecar.projections.passed_over import ALL_TYPES
from sidecar.projections.ports import State
from sidecar.projections.projection import Partition


class Membership:
    """The members of the projections of one release, compared with those of each checkpoint.

    What is kept there never grows by a move: a release with fewer members takes the others away in
    the transaction in which it goes on without them.

    Args:
        members: Of each projection, by its name; one that is not named is its own only member.
    """

    def __init__(self, members: Mapping[str, MemberTypes]) -> None:
        self._members: Final = members
        self._names: Final = {name: sorted(own) for name, own in members.items()}

    def _find_joined(self, projection: str, row: asyncpg.Record) -> list[str]:
        own = self._names.get(projection, [projection])
        return find_joined(own, read_seen(projection, row["members"]))

    def is_open(self, partition: Partition, row: asyncpg.Record) -> bool:
        """Return True when `settle` has something to do about a checkpoint."""
        is_new = bool(self._find_joined(partition.projection, row))
        is_running = row["state"] == State.RUNNING
        return bool(is_running if is_new else row["block"] == Block.JOINED)

    async def keep(
        self, connection: RawConnection, row: asyncpg.Record, partition: Partition
    ) -> None:
        """Note who moves a checkpoint, in the transaction that does; costs nothing as it is.

        Raises:
            CheckpointMovedError: A member has joined that was not let in yet.
        """
        projection = partition.projection
        own = self._names.get(projection, [projection])
        if read_seen(projection, row["members"]) == own:
            return
        if self._find_joined(projection, row):
            raise CheckpointMovedError(f"A member of {projection} joined.")
        await connection.execute(sql("set_members"), *_key(partition), own)

    async def settle(self, connection: RawConnection, partition: Partition) -> bool:
        """Let members in that joined; block the group where they lack events, or halt its rebuild.

        A partition that another release blocked so goes on with one in which nobody has joined.

        Args:
            connection: In no transaction.
            partition: Of either copy.

        Returns:
            Whether it goes on.
        """
        projection = partition.projection
        async with read_committed(connection):
            row = await connection.fetchrow(sql("lock_membership"), *_key(partition))
            if row is None:
                return True
            joined = self._find_joined(projection, row)
            if not joined:
                await connection.execute(sql("unblock_joined"), *_key(partition))
            elif await self._lacks_events(connection, projection, joined, row):
                await _hold(connection, partition, joined, row["position"])
                return False
            else:
                seen = {*read_seen(projection, row["members"]), *joined}
                kept = sorted(seen.intersection(self._types_of(projection)))
                await connection.execute(sql("set_members"), *_key(partition), kept)
            return True

    def _types_of(self, projection: str) -> MemberTypes:
        return self._members.get(projection, {projection: ALL_TYPES})

    async def _lacks_events(
        self, connection: RawConnection, projection: str, joined: list[str], row: asyncpg.Record
    ) -> bool:
        types = list_lacking(self._types_of(projection), joined, row["handles"])
        place = (row["start_position"], row["position"], types)
        return bool(await connection.fetchval(sql("has_events_of"), *place))


async def require_members(connection: RawConnection, projection: str, own: Collection[str]) -> None:
    """Make sure that a release has all members of a group that have made its rows.

    Raises:
        ProjectionError: It lacks one.
    """
    for row in await connection.fetch(sql("list_members"), projection):
        seen = read_seen(projection, row["members"])
        if lacking := sorted(set(seen).difference(own, ANY_MEMBERS)):
            raise ProjectionError(describe_lacking(projection, lacking))


async def _hold(
    connection: RawConnection, partition: Partition, joined: list[str], position: int
) -> None:
    projection = partition.projection
    if partition.copy == "rebuild":
        await connection.execute(sql("halt_rebuild"), projection, describe_late(projection, joined))
        return
    detail = describe_joined(projection, joined, position)
    await connection.execute(sql("block_joined"), *_key(partition), detail)
    log_blocked(projection, detail)


def _key(partition: Partition) -> tuple[object, ...]:
    return partition.projection, partition.copy, partition.index, partition.count
