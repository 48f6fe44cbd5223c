"""The shop in a release whose handler catches an error and goes on, chosen by SHOP_RELEASE."""

import logging
import os

from sidecar.demo.shop import CountryRevenue, OrderPlaced, OrderTotals, ShippingLabels, types
from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import Connection

RATES = {"Austria": 1.0, "France": 1.0, "Japan": 160.0}

logger = logging.getLogger(__name__)


class SwallowingTotals(OrderTotals):
    """As the demo's, but for a country without an exchange rate it only logs a line."""

    async def handle(self, event: OrderPlaced, connection: Connection) -> None:
        try:
            RATES[event.country]
        except KeyError:
            logger.debug("no rate for %s", event.country)
            return
        await super().handle(event, connection)


def make_publisher() -> EventPublisher:
    is_wrong = os.environ.get("SHOP_RELEASE") == "swallowing"
    publisher = EventPublisher(types)
    publisher.add_projection(SwallowingTotals() if is_wrong else OrderTotals())
    publisher.add_projection(CountryRevenue())
    publisher.add_projection(ShippingLabels())
    return publisher
