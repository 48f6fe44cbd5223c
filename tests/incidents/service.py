"""The service that these tests watch: accounts that are paid, and projections of three tempers."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes
from sidecar.projections.projection import Projection

types = EventTypes()


@types.register()
@dataclass(frozen=True, slots=True)
class Paid:
    """So many cents came in; `memo` tells projections how to misbehave."""

    account: str
    cents: int
    memo: str = ""


class CannotBookError(Exception):
    """A projection met an event that it cannot apply."""


class Sums(Projection):
    """Adds up what each account got, so that a second application of an event would show."""

    handles = (Paid,)
    table = ""

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.table} (account text PRIMARY KEY,"
            " cents bigint NOT NULL, events bigint NOT NULL)"
        )

    async def handle(self, event: Paid, connection: Connection) -> None:
        await connection.execute(
            f"INSERT INTO {self.table} AS sums VALUES ($1, $2, 1) ON CONFLICT (account)"
            " DO UPDATE SET cents = sums.cents + excluded.cents, events = sums.events + 1",
            event.account,
            event.cents,
        )


class Totals(Sums):
    """Applies everything, at leisure where it is asked to, so that a kill finds it at work."""

    name = "totals"
    table = "totals"

    async def handle(self, event: Paid, connection: Connection) -> None:
        pace_seconds = float(os.environ.get("SERVICE_PACE_SECONDS", "0"))
        if pace_seconds:
            await asyncio.sleep(pace_seconds)
        await super().handle(event, connection)


class Fragile(Sums):
    """Fails on what is marked as poison, for as long as it is not cured."""

    name = "fragile"
    table = "fragile"

    async def setup(self, connection: Connection) -> None:
        await super().setup(connection)
        await connection.execute("CREATE TABLE IF NOT EXISTS cured (account text PRIMARY KEY)")

    async def handle(self, event: Paid, connection: Connection) -> None:
        if event.memo == "poison":
            cured = await connection.fetchval(
                "SELECT 1 FROM cured WHERE account = $1", event.account
            )
            if cured is None:
                raise CannotBookError(f"cannot book for {event.account}")
        await super().handle(event, connection)


def sleep_once(marker: Path) -> None:
    """Block as a handler must not: nothing else in the process runs meanwhile."""
    if not marker.exists():
        marker.touch()
        time.sleep(30)


class Sleepy(Sums):
    """Blocks the whole worker on what is marked so, the first time."""

    name = "sleepy"
    table = "sleepy"

    async def handle(self, event: Paid, connection: Connection) -> None:
        if event.memo == "sleep":
            sleep_once(Path(os.environ["SERVICE_MARKER"]))
        await super().handle(event, connection)


publisher = EventPublisher(types)
publisher.add_projection(Totals())
publisher.add_projection(Fragile())
publisher.add_projection(Sleepy())
