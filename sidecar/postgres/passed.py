"""Counting what projections passed over, from the log and from what each release handled."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.connection import SESSION_ERRORS, RawConnection, read_committed
from sidecar.postgres.pool import MeteredPool
from sidecar.postgres.query import sql
from sidecar.projections.passed import PassedOver, describe_passed_over

INTERVAL_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


async def list_passed_over(connection: RawConnection) -> dict[str, tuple[PassedOver, ...]]:
    """Return what was counted and not accepted, by projection."""
    rows = await connection.fetch(sql("sample_passed_over"))
    return {
        name: tuple(PassedOver(*tuple(row)[1:]) for row in group)
        for name, group in groupby(rows, key=lambda row: row["projection"])
    }


class PassedOverCount:
    """Counts for the projections of one worker, each part of the log once.

    Args:
        handled: What each projection handles, by name.
        retired: Types whose events nobody wants any more.
    """

    def __init__(self, handled: Mapping[str, Sequence[str]], retired: Iterable[str] = ()) -> None:
        self._names: Final = list(handled)
        self._pairs: Final = [(name, kind) for name, kinds in handled.items() for kind in kinds]
        self._retired: Final = list(retired)
        self._told: dict[str, str] = {}

    async def count(self, connection: RawConnection) -> None:
        """Count what was passed over since the last time, and tell each change once."""
        async with read_committed(connection):
            names, types = zip(*self._pairs, strict=True) if self._pairs else ((), ())
            await connection.execute(
                sql("open_counts"), self._names, list(names), list(types), self._retired
            )
            await connection.execute(sql("count_passed_over"), self._names)
        kinds = {
            row["projection"]: row["kind"] for row in await connection.fetch(sql("list_kinds"))
        }
        for name, passed in (await list_passed_over(connection)).items():
            if name in self._names:
                self._tell(name, describe_passed_over(name, kinds.get(name, ""), passed))

    async def run(self, pool: MeteredPool) -> None:
        """Count again and again until cancelled; an outage is waited out."""
        while True:
            try:
                async with pool.acquire() as connection:
                    await self.count(connection)
            except (StoreUnavailableError, TimeoutError, *SESSION_ERRORS) as error:
                logger.debug("Passed-over events are counted later: %s", type(error).__name__)
            await asyncio.sleep(INTERVAL_SECONDS)

    def _tell(self, name: str, sentence: str) -> None:
        if self._told.get(name) != sentence:
            self._told[name] = sentence
            logger.warning(
                "Projection %s: %s",
                name,
                sentence,
                extra={"event": "sidecar.events.passed_over", "projection": name},
            )
