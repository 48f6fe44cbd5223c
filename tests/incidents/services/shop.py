"""The shop of docs/develop.md, and then a read model that can fail."""

from dataclasses import dataclass

from sidecar import EventPublisher, EventTypes, Projection
from sidecar.events.subscriber import Connection

types = EventTypes()


@types.register()
@dataclass(frozen=True)
class OrderPlaced:
    customer: str
    cents: int


class OrderTotals(Projection):
    name = "order_totals"
    handles = (OrderPlaced,)
    tables = ("order_totals",)  # what a rebuild makes a new copy of

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS order_totals"
            " (customer text PRIMARY KEY, cents bigint NOT NULL)"
        )

    async def handle(self, event: OrderPlaced, connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO order_totals AS t VALUES ($1, $2)"
            " ON CONFLICT (customer) DO UPDATE SET cents = t.cents + excluded.cents",
            event.customer,
            event.cents,
        )


publisher = EventPublisher(types)
publisher.add_projection(OrderTotals())


class NoAddressError(Exception):
    """Nobody has entered where a customer lives."""


class Invoices(Projection):
    """One row per order, for which the office has to know the customer's address."""

    name = "invoices"
    handles = (OrderPlaced,)
    tables = ("invoices",)

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS invoices"
            " (customer text NOT NULL, address text NOT NULL, cents bigint NOT NULL)"
        )

    async def handle(self, event: OrderPlaced, connection: Connection) -> None:
        address = await connection.fetchval(
            "SELECT address FROM addresses WHERE customer = $1", event.customer
        )
        if address is None:
            raise NoAddressError(f"no address of {event.customer}")
        await connection.execute(
            "INSERT INTO invoices VALUES ($1, $2, $3)", event.customer, address, event.cents
        )


publisher.add_projection(Invoices())
