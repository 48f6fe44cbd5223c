"""Events and read models of a small shop."""

from typing import Final, NamedTuple

import msgspec

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes

RAISE: Final = "DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{}'; END $$"

types: Final = EventTypes()


@types.register()
class Placed(msgspec.Struct, frozen=True):
    order: str
    amount: int


@types.register()
class Paid(msgspec.Struct, frozen=True):
    order: str


class Line(NamedTuple):
    """One effect on the read model, as it was written."""

    position: int
    stream: str
    version: int


class Journal:
    """Writes one line per event, so that order and double effects can be seen.

    Attributes:
        broken: Orders that it fails for.
    """

    def __init__(self, name: str = "journal", *, partitions: int = 1) -> None:
        self.name: Final = name
        self.partitions: Final = partitions
        self.broken: set[str] = set()
        self.calls = 0

    def can_handle(self, event: object) -> bool:
        return isinstance(event, Placed)

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.name} ("
            "line bigserial, position bigint, stream text, version bigint, amount bigint)"
        )

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        self.calls += 1
        await connection.execute(
            f"INSERT INTO {self.name} (position, stream, version, amount) VALUES ($1, $2, $3, $4)",
            record.position,
            record.stream,
            record.version,
            event.amount,
        )
        if event.order in self.broken:
            raise BrokenOrderError(event.order)


class Shaky(Journal):
    """Fails a number of times for its last event with an SQLSTATE of one's choice."""

    def __init__(self, sqlstate: str, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self._statement = RAISE.format(sqlstate)

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        await super().handle(event, connection, record)
        if event.amount == 3 and self.failures:
            self.failures -= 1
            await connection.execute(self._statement)
            await connection.fetchval("SELECT 1")


class Mailer:
    """Has its effect outside the database; writes down the amounts it hears of."""

    name = "mailer"

    def __init__(self) -> None:
        self.heard: list[int] = []

    async def handle(self, event: Placed) -> None:
        self.heard.append(event.amount)


class BrokenOrderError(Exception):
    """What a bug in a handler looks like."""
