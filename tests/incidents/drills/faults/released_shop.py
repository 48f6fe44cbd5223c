"""The shop in two releases: the second one, chosen by SHOP_RELEASE, tells an order's currency."""

import os
from dataclasses import dataclass

from sidecar.demo.shop import (
    CountryRevenue,
    OrderPlaced,
    OrderShipped,
    OrderTotals,
    ShippingLabels,
    publisher,
)
from sidecar.events.publisher import EventPublisher
from sidecar.events.types import EventTypes


@dataclass(frozen=True, slots=True)
class OrderInCurrency(OrderPlaced):
    """What `OrderPlaced` has become; the projections take it for what it was."""

    currency: str


def add_currency(fields: dict[str, object]) -> dict[str, object]:
    return {**fields, "currency": "EUR"}


def make_publisher() -> EventPublisher:
    return make_second() if os.environ.get("SHOP_RELEASE") == "2" else publisher


def make_second() -> EventPublisher:
    types = EventTypes()
    types.register(name="OrderPlaced", version=2)(OrderInCurrency)
    types.upcast("OrderPlaced", from_version=1)(add_currency)
    types.register()(OrderShipped)
    second = EventPublisher(types)
    for projection in (OrderTotals(), CountryRevenue(), ShippingLabels()):
        second.add_projection(projection)
    return second
