"""What the runner makes of a subscriber's attributes."""

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publisher import EventPublisher
from sidecar.projections.projection import subscriptions_of


class Remote:
    """Writes its read model through a pool of its own."""

    name = "remote"
    tables: tuple[str, ...] = ("remote",)

    async def handle(self, event: object) -> None: ...


class Local:
    """Writes its read model through the connection that it is given."""

    name = "local"
    tables = ("local",)

    async def handle(self, event: object, connection: object) -> None: ...


def test_tables_that_a_rebuild_could_not_lead_elsewhere_are_refused() -> None:
    publisher = EventPublisher()
    publisher.add_projection(Remote())
    with pytest.raises(ProjectionError, match=r"remote declares `tables`.*`handle\(event, conn"):
        subscriptions_of(publisher)


def test_tables_are_taken_from_a_handler_with_the_connection() -> None:
    publisher = EventPublisher()
    publisher.add_projection(Local())
    [subscription] = subscriptions_of(publisher)
    assert subscription.tables == ("local",)


def test_handler_without_the_connection_needs_no_tables() -> None:
    target = Remote()
    target.tables = ()
    publisher = EventPublisher()
    publisher.add_projection(target)
    [subscription] = subscriptions_of(publisher)
    assert not subscription.is_repeatable
