"""The demo's shop with a handler that may not take long, so that a drill need not either."""

from sidecar.demo.shop import CountryRevenue, OrderTotals, ShippingLabels, types
from sidecar.events.publisher import EventPublisher


class HastyTotals(OrderTotals):
    """As the demo's, with a second for each event."""

    timeout_seconds = 1.0


publisher = EventPublisher(types)
publisher.add_projection(HastyTotals())
publisher.add_projection(CountryRevenue())
publisher.add_projection(ShippingLabels())
