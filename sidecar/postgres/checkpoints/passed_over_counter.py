"""Counts of passed-over events, from the log and from the types that each release handled."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Final

from sidecar.events.record import RecordedEvent
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.outage import OutageLog
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.projections.passed_over import ALL_TYPES, PassedOver, describe_passed_over

INTERVAL_SECONDS: Final = 5.0
# One statement counts over so many positions at most, since a server may limit its time.
STRIDE_POSITIONS: Final = 200_000

logger = logging.getLogger(__name__)


async def list_passed_over(connection: RawConnection) -> dict[str, tuple[PassedOver, ...]]:
    """Return the passed-over events that were not accepted, by projection."""
    rows = await connection.fetch(sql("sample_passed_over"))
    return {
        name: tuple(PassedOver(*tuple(row)[1:]) for row in group)
        for name, group in groupby(rows, key=lambda row: row["projection"])
    }


async def count_on(connection: RawConnection, names: Sequence[str]) -> None:
    """Count for some projections what lies between what was counted and their checkpoints."""
    is_more = True
    while is_more:
        async with _counting(connection):
            is_more = await connection.fetchval(sql("count_passed_over"), names, STRIDE_POSITIONS)


async def count_before(
    connection: RawConnection, projection: str, stream: str, records: Sequence[RecordedEvent]
) -> None:
    """Count while events still wait that are taken up now: later they would seem passed over.

    Args:
        connection: In the transaction that takes them up, with their dead letter still open.
        projection: Their projection.
        stream: Their stream.
        records: Of types that the release handles, from that of the dead letter on.
    """
    positions, types = list_positions_and_types(records)
    if not await connection.fetchval(sql("is_uncounted"), projection, stream, positions, types):
        return
    await connection.execute(sql("lock_counts"))
    await connection.execute(sql("open_counts"), [projection], [projection] * len(types), types)
    while await connection.fetchval(sql("count_passed_over"), [projection], STRIDE_POSITIONS):
        pass


def list_positions_and_types(records: Sequence[RecordedEvent]) -> tuple[list[str], list[str]]:
    """Return both of each event, as statements on passed-over events take them."""
    return [str(record.position) for record in records], [record.type for record in records]


@asynccontextmanager
async def _counting(connection: RawConnection) -> AsyncIterator[None]:
    """Open a transaction in which nobody else counts, and which may last."""
    async with read_committed(connection):
        await connection.execute(sql("lift_limits"), True)
        await connection.execute(sql("lock_counts"))
        yield


class PassedOverCounter:
    """Counts for the projections of one worker, each part of the log once.

    Args:
        handled: The types that each projection handles, by name.
    """

    def __init__(self, handled: Mapping[str, Sequence[str]]) -> None:
        self._names: Final = list(handled)
        pairs = [(name, kind) for name, kinds in handled.items() for kind in kinds]
        self._pairs: Final = ([name for name, _ in pairs], [kind for _, kind in pairs])
        # Which types these handle is found in the log, once.
        self._unopened = [name for name, kinds in handled.items() if tuple(kinds) == ALL_TYPES]
        self._logged: dict[str, str] = {}
        self._outages: Final = OutageLog(
            logger,
            "Passed-over events cannot be counted now: %s",
            event="sidecar.passed_over.uncounted",
        )

    async def count(self, connection: RawConnection) -> None:
        """Count what was passed over since the last time, and log each change once."""
        async with _counting(connection):
            await connection.execute(sql("open_counts"), self._names, *self._pairs)
            if self._unopened:
                await connection.execute(sql("open_counts_of_all"), self._unopened)
                self._unopened = []
        await count_on(connection, self._names)
        rows = await connection.fetch(sql("list_kinds"))
        kinds = {row["projection"]: row["kind"] for row in rows}
        for name, passed in (await list_passed_over(connection)).items():
            if name in self._names:
                self._log(name, describe_passed_over(name, kinds.get(name, ""), passed))

    async def run(self, pool: MeteredPool) -> None:
        """Count repeatedly until cancelled, also after an outage."""
        while True:
            with self._outages.survive():
                async with pool.acquire() as connection:
                    await self.count(connection)
            await asyncio.sleep(INTERVAL_SECONDS)

    def _log(self, name: str, sentence: str) -> None:
        if self._logged.get(name) != sentence:
            self._logged[name] = sentence
            logger.warning(
                "Projection %s: %s",
                name,
                sentence,
                extra={"event": "sidecar.events.passed_over", "projection": name},
            )
