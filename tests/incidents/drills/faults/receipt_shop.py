"""The demo's shop with a handler in its workers: no restore takes back what that has sent."""

import logging

from sidecar.demo.shop import CountryRevenue, OrderPlaced, OrderTotals, ShippingLabels, types
from sidecar.events.publisher import EventPublisher

logger = logging.getLogger(__name__)


class Receipts:
    """Sends a receipt for each order."""

    name = "receipts"
    handles = (OrderPlaced,)

    async def handle(self, order: OrderPlaced) -> None:
        logger.debug("a receipt for order %s", order.order_id)


publisher = EventPublisher(types)
publisher.add_projection(OrderTotals())
publisher.add_projection(CountryRevenue())
publisher.add_projection(ShippingLabels())
publisher.add_projection(Receipts())
