"""The shop as its developer wrote it: two events, three projections, one publisher."""

from dataclasses import dataclass

from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes
from sidecar.projections.projection import Projection

types = EventTypes()


@types.register()
@dataclass(frozen=True, slots=True)
class OrderPlaced:
    """Somebody ordered something worth `cents`."""

    order_id: str
    customer: str
    country: str
    cents: int


@types.register()
@dataclass(frozen=True, slots=True)
class OrderShipped:
    """The parcel left."""

    order_id: str


class NoShippingRateError(Exception):
    """The shop does not know what a parcel to this country costs."""


class OrderTotals(Projection):
    """What each customer ordered so far."""

    name = "order_totals"
    handles = (OrderPlaced,)
    tables = ("order_totals",)

    async def setup(self, connection: Connection) -> None:
        """Create the read model."""
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS order_totals "
            "(customer text PRIMARY KEY, orders bigint NOT NULL, cents bigint NOT NULL)"
        )

    async def handle(self, event: OrderPlaced, connection: Connection) -> None:
        """Add an order to its customer's totals."""
        await connection.execute(
            "INSERT INTO order_totals AS t VALUES ($1, 1, $2) ON CONFLICT (customer) "
            "DO UPDATE SET orders = t.orders + 1, cents = t.cents + excluded.cents",
            event.customer,
            event.cents,
        )


class CountryRevenue(Projection):
    """What each country brought in so far."""

    name = "country_revenue"
    handles = (OrderPlaced,)
    tables = ("country_revenue",)

    async def setup(self, connection: Connection) -> None:
        """Create the read model."""
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS country_revenue "
            "(country text PRIMARY KEY, cents bigint NOT NULL)"
        )

    async def handle(self, event: OrderPlaced, connection: Connection) -> None:
        """Add an order to its country's revenue."""
        await connection.execute(
            "INSERT INTO country_revenue AS r VALUES ($1, $2) "
            "ON CONFLICT (country) DO UPDATE SET cents = r.cents + excluded.cents",
            event.country,
            event.cents,
        )


class ShippingLabels(Projection):
    """One label per order; fails for countries without a shipping rate."""

    name = "shipping_labels"
    handles = (OrderPlaced, OrderShipped)
    tables = ("shipping_labels",)

    async def setup(self, connection: Connection) -> None:
        """Create the read model, and the rates that it looks up."""
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS shipping_labels "
            "(order_id text PRIMARY KEY, country text NOT NULL, postage_cents bigint NOT NULL, "
            "shipped boolean NOT NULL DEFAULT false)"
        )
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS shipping_rates "
            "(country text PRIMARY KEY, postage_cents bigint NOT NULL)"
        )
        await connection.executemany(
            "INSERT INTO shipping_rates VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [("Austria", 900), ("France", 1100), ("Japan", 2900), ("Kenya", 2500)],
        )

    async def handle(self, event: OrderPlaced | OrderShipped, connection: Connection) -> None:
        """Print a label for a new order, tick it off when the parcel leaves."""
        if isinstance(event, OrderShipped):
            await connection.execute(
                "UPDATE shipping_labels SET shipped = true WHERE order_id = $1", event.order_id
            )
            return
        postage_cents = await connection.fetchval(
            "SELECT postage_cents FROM shipping_rates WHERE country = $1", event.country
        )
        if postage_cents is None:
            raise NoShippingRateError(f"no shipping rate for {event.country}")
        await connection.execute(
            "INSERT INTO shipping_labels (order_id, country, postage_cents) VALUES ($1, $2, $3)",
            event.order_id,
            event.country,
            postage_cents,
        )


publisher = EventPublisher(types)
publisher.add_projection(OrderTotals())
publisher.add_projection(CountryRevenue())
publisher.add_projection(ShippingLabels())
