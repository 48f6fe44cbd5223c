"""The shop in its next releases, chosen by SHOP_RELEASE: with refunds, or with a new name."""

import os
from dataclasses import dataclass

from sidecar.demo.shop import CountryRevenue, OrderPlaced, OrderShipped, OrderTotals, ShippingLabels
from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import Connection
from sidecar.events.types import EventTypes


@dataclass(frozen=True, slots=True)
class OrderRefunded:
    """What only a newer release knows."""

    order_id: str


class RefundedTotals(OrderTotals):
    """Keeps what was refunded as well."""

    handles = (OrderPlaced, OrderRefunded)  # type: ignore[assignment] # a tuple of one there
    tables = ("order_totals", "refunds")  # type: ignore[assignment] # likewise

    async def setup(self, connection: Connection) -> None:
        await super().setup(connection)
        await connection.execute("CREATE TABLE IF NOT EXISTS refunds (order_id text PRIMARY KEY)")

    async def handle(self, event: OrderPlaced | OrderRefunded, connection: Connection) -> None:
        if isinstance(event, OrderRefunded):
            await connection.execute("INSERT INTO refunds VALUES ($1)", event.order_id)
        else:
            await super().handle(event, connection)


class RenamedTotals(OrderTotals):
    """The same under another name."""

    name = "customer_totals"


def make_publisher() -> EventPublisher:
    release = os.environ.get("SHOP_RELEASE")
    types = EventTypes()
    for known in (OrderPlaced, OrderShipped, *((OrderRefunded,) if release == "refunds" else ())):
        types.register()(known)
    totals = {"refunds": RefundedTotals, "renamed": RenamedTotals}.get(str(release), OrderTotals)
    publisher = EventPublisher(types)
    for projection in (totals(), CountryRevenue(), ShippingLabels()):
        publisher.add_projection(projection)
    return publisher
