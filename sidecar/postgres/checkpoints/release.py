"""What one release of a service declares of its projections, and what it finds at its start."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from sidecar.postgres.checkpoints.block import log_blocked
from sidecar.postgres.checkpoints.passed_over_counter import PassedOverCounter
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.query import sql
from sidecar.projections.passed_over import ALL_TYPES, RETIRED, PassedOver, describe_missed


class Release:
    """The release of a service that one worker runs.

    Args:
        handled: The types that each projection handles, by name.
        retired: Types that nobody wants any more.
        version: Of the service; empty where it has none.
        fingerprints: Of the code of each projection, by name; none where nothing is known of it.
    """

    def __init__(
        self,
        handled: Mapping[str, Sequence[str]],
        retired: Iterable[str] = (),
        *,
        version: str = "",
        fingerprints: Mapping[str, str] | None = None,
    ) -> None:
        self.handled: Final = handled
        self.counter: Final = PassedOverCounter(handled)
        self._retired: Final = sorted(retired)
        self._version: Final = version
        self._fingerprints: Final = fingerprints or {}

    async def declare(self, connection: RawConnection, names: Collection[str]) -> None:
        """Say what projections handle, so that no other release passes over it from here on.

        It is committed when this returns, and every batch that goes on knows it.

        Args:
            connection: In no transaction.
            names: Of projections that are registered.
        """
        async with read_committed(connection):
            pairs = self._pair(names)
            rows = await connection.fetch(sql("declare_types"), *pairs, self._version)
            if self._retired:
                await self._retire(connection, list(names))
            await self._mark(connection, names)
        for name in sorted({row["projection"] for row in rows}):
            # The lock is free once a batch under way, which may not know it, has ended.
            await connection.fetch(sql("list_partitions"), name)

    async def _retire(self, connection: RawConnection, names: Sequence[str]) -> None:
        """End the declarations of types that the code retires; what waits for them is taken up.

        A release that handles them again, as after a rollback, is told what was passed over.
        """
        rows = await connection.fetch(sql("retire_types"), names, self._retired, RETIRED)
        for name in sorted({row["projection"] for row in rows}):
            await connection.fetch(sql("list_partitions"), name)
        await connection.fetch(sql("take_up_retired"), names, self._retired)

    async def _mark(self, connection: RawConnection, names: Collection[str]) -> None:
        """Mark checkpoints with the code that moves them from here on."""
        known = [name for name in names if name in self._fingerprints]
        if known:
            marks = [self._fingerprints[name] for name in known]
            await connection.execute(sql("mark_code"), known, marks, self._version)

    def _pair(self, names: Collection[str]) -> tuple[list[str], list[str]]:
        """Return names and types, paired; that all are handled declares none."""
        handled = ((name, type_) for name in names for type_ in self.handled.get(name, ()))
        pairs = [(name, type_) for name, type_ in handled if type_ not in ALL_TYPES]
        return [name for name, _ in pairs], [type_ for _, type_ in pairs]

    async def block_missed(self, connection: RawConnection, names: Collection[str]) -> None:
        """Block the projections that passed over events which this release handles.

        Call it after `declare`. Those that lack nothing any more are blocked no longer. Handlers
        are told of, and go on: what they did lies outside.

        Args:
            connection: In no transaction.
            names: Of projections that are registered.
        """
        await self.counter.count(connection)
        pairs = [(name, type_) for name in names for type_ in self.handled.get(name, ())]
        arrays = ([name for name, _ in pairs], [type_ for _, type_ in pairs])
        async with read_committed(connection):
            rows = await connection.fetch(sql("list_missed"), *arrays)
            for name, group in groupby(rows, key=lambda row: str(row["projection"])):
                found = list(group)
                missed = [PassedOver(*tuple(row)[2:]) for row in found]
                has_tables = found[0]["has_tables"]
                await _block(connection, name, describe_missed(name, missed, has_tables=has_tables))
            await connection.execute(sql("unblock_missed"), list(names))


async def _block(connection: RawConnection, name: str, detail: str) -> None:
    if await connection.fetch(sql("block_missed"), name, detail):
        log_blocked(name, detail)


async def retire(
    connection: RawConnection, names: Sequence[str], types: Sequence[str], reason: str
) -> int:
    """End the declarations of types, in a transaction; return how many events waited for them."""
    await connection.fetch(sql("retire_types"), names, types, reason)
    return len(await connection.fetch(sql("take_up_retired"), names, types))
