"""What every benchmark sells: one event type, its read models, and targets for `sidecar run`."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec
from msgspec.structs import replace

from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from sidecar.projections.projection import Projection

CUSTOMERS: Final = 1000
BATCH_EVENTS: Final = 1000
SEEN_CHANNEL: Final = "seen"
RECKONING_STEPS: Final = 80
GROSS: Final = Decimal("1.19")
CENT: Final = Decimal("0.0001")

types = EventTypes()


@types.register()
class OrderPlaced(msgspec.Struct, frozen=True):
    number: int
    customer: str
    cents: int
    note: str = ""


class Totals(Projection):
    """Orders and money per customer: one upsert for each event."""

    handles = (OrderPlaced,)

    def __init__(self, table: str) -> None:
        self.name = table  # type: ignore[misc]  # many of one class, each with a name of its own
        self.upsert: Final = upsert_into(table)

    async def setup(self, connection: Connection) -> None:
        await connection.execute(create_totals(self.name))

    async def handle(self, event: OrderPlaced, connection: Connection) -> None:
        await connection.execute(self.upsert, event.customer, event.cents)


class PricedTotals(Totals):
    """The same, after some reckoning in Python, as handlers with domain logic do."""

    async def handle(self, event: OrderPlaced, connection: Connection) -> None:
        await super().handle(replace(event, cents=reckon(event.cents)), connection)


def reckon(cents: int) -> int:
    """Return `cents` after some decimal arithmetic."""
    amount = Decimal(cents)
    for _ in range(RECKONING_STEPS):
        amount = (amount * GROSS).quantize(CENT)
        amount = (amount / GROSS).quantize(CENT)
    return int(amount)


class Seen(Projection):
    """Tells, as soon as its transaction is committed, which orders it has seen."""

    name = "seen"
    handles = (OrderPlaced,)

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS seen (number bigint PRIMARY KEY, cents bigint NOT NULL);"
            "CREATE OR REPLACE FUNCTION tell_seen() RETURNS trigger LANGUAGE plpgsql AS $$"
            f"BEGIN PERFORM pg_notify('{SEEN_CHANNEL}', NEW.number::text); RETURN NEW; END $$;"
            "CREATE OR REPLACE TRIGGER tell_seen AFTER INSERT ON seen"
            " FOR EACH ROW EXECUTE FUNCTION tell_seen()"
        )

    async def handle(self, event: OrderPlaced, connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO seen (number, cents) VALUES ($1, $2)"
            " ON CONFLICT (number) DO UPDATE SET cents = excluded.cents",
            event.number,
            event.cents,
        )


class Lines(Projection):
    """A row for each order."""

    name = "lines"
    handles = (OrderPlaced,)
    tables = ("lines",)

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS lines"
            " (number bigint PRIMARY KEY, customer text NOT NULL, cents bigint NOT NULL)"
        )

    async def handle(self, event: OrderPlaced, connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO lines VALUES ($1, $2, $3)", event.number, event.customer, event.cents
        )


def make_order(number: int) -> OrderPlaced:
    return OrderPlaced(number, f"customer-{number % CUSTOMERS}", 100 + number % 9900, "x" * 100)


def make_orders(first: int, count: int) -> Sequence[OrderPlaced]:
    return [make_order(number) for number in range(first, first + count)]


def create_totals(table: str) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {table}"
        " (customer text PRIMARY KEY, orders bigint NOT NULL, cents bigint NOT NULL)"
    )


def upsert_into(table: str) -> str:
    return (
        f"INSERT INTO {table} (customer, orders, cents) VALUES ($1, 1, $2)"
        f" ON CONFLICT (customer) DO UPDATE SET orders = {table}.orders + 1,"
        f" cents = {table}.cents + excluded.cents"
    )


async def fill(pool: MeteredPool, events: int) -> int:
    """Append so many orders through the store and return the position of the last one."""
    store = EventStore(pool, types)
    position = 0
    for first in range(0, events, BATCH_EVENTS):
        appended = await store.append(f"orders-{first}", make_orders(first, BATCH_EVENTS))
        position = appended.position
    return position


async def fill_at_once(connection: RawConnection, events: int) -> int:
    """Insert so many orders in one transaction, wake the workers, and return the last position."""
    async with connection.transaction():
        first = await connection.fetchval(
            "SELECT coalesce(max(position), 0) + 1 FROM sidecar.events"
        )
        await connection.execute(
            "INSERT INTO sidecar.events (stream, version, type, data)"
            " SELECT 'order-' || n, 1, 'OrderPlaced', json_build_object('number', n,"
            " 'customer', 'customer-' || n % 1000, 'cents', 100 + n % 9900)"
            " FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS n",
            first,
            events,
        )
        await connection.execute("SELECT pg_notify('sidecar_events', '')")
    return int(await connection.fetchval("SELECT max(position) FROM sidecar.events"))


def one() -> EventPublisher:
    """TARGET with one projection that tells what it has seen."""
    publisher = EventPublisher(types)
    publisher.add_projection(Seen())
    return publisher


def lines() -> EventPublisher:
    """TARGET with one projection that keeps a row for each order."""
    publisher = EventPublisher(types)
    publisher.add_projection(Lines())
    return publisher


def eight() -> EventPublisher:
    """TARGET with 8 projections."""
    return _with_totals(8)


def eight_priced() -> EventPublisher:
    """TARGET with 8 projections whose handlers reckon."""
    publisher = EventPublisher(types)
    for number in range(8):
        publisher.add_projection(PricedTotals(f"totals_{number}"))
    return publisher


def hundred() -> EventPublisher:
    """TARGET with 100 projections."""
    return _with_totals(100)


def _with_totals(count: int) -> EventPublisher:
    publisher = EventPublisher(types)
    for number in range(count):
        publisher.add_projection(Totals(f"totals_{number}"))
    return publisher
