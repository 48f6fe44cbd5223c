"""Who hears of an event, in which order and under which name."""

import asyncio
from functools import partial
from itertools import permutations
from typing import Any
from unittest.mock import AsyncMock

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publisher import EventPublisher
from sidecar.projections.projection import subscriptions_of


class Placed:
    pass


class Paid:
    pass


class Shipped:
    pass


class Mail:
    def __init__(self, heard: list[tuple[str, str]] | None = None) -> None:
        self.heard = [] if heard is None else heard

    async def on_event(self, event: object) -> None:
        self.heard.append((type(self).__name__, type(event).__name__))


class Audit(Mail):
    pass


class Named(Mail):
    name = "archive"


def module_function(module: str) -> Any:
    async def on_event(event: object) -> None:
        pass

    on_event.__module__ = module
    return on_event


@pytest.fixture
def publisher() -> EventPublisher:
    return EventPublisher()


def names(publisher: EventPublisher) -> list[str]:
    return [subscription.name for subscription in subscriptions_of(publisher)]


def test_methods_of_one_name_are_called_by_their_owners_in_any_order_of_adding() -> None:
    handlers = (Mail().on_event, Audit().on_event, Named().on_event, module_function("shop"))
    expected = ["Mail.on_event", "Audit.on_event", "archive.on_event", "shop.on_event"]
    for order in permutations(range(len(handlers))):
        publisher = EventPublisher()
        for index in order:
            publisher.add_handler(handlers[index])
        assert names(publisher) == [expected[index] for index in order]
        assert list(publisher.tally.handlers) == names(publisher)


def test_functions_of_one_name_are_told_apart_by_their_modules(publisher: EventPublisher) -> None:
    publisher.add_handler(module_function("orders"))
    assert names(publisher) == ["on_event"]
    publisher.add_projection(module_function("billing"))
    assert names(publisher) == ["billing.on_event", "orders.on_event"]


async def test_projections_that_are_methods_are_counted_and_reached_under_their_names(
    publisher: EventPublisher,
) -> None:
    mail = Mail()
    publisher.add_projection(mail.on_event)
    publisher.add_projection(Audit(mail.heard).on_event)
    result = await publisher.publish(Placed())
    assert result.handled == ("Mail.on_event", "Audit.on_event")
    assert await publisher.deliver_to("Audit.on_event", Paid()) is None
    assert mail.heard == [("Mail", "Placed"), ("Audit", "Placed"), ("Audit", "Paid")]


async def test_handler_that_is_added_for_several_types_is_one_that_hears_each_once(
    publisher: EventPublisher,
) -> None:
    mail = Mail()
    publisher.add_handler(mail.on_event, Placed)
    publisher.add_handler(Audit(mail.heard).on_event, Placed)
    publisher.add_handler(mail.on_event, Paid, Placed)
    publisher.add_handler(mail.on_event, event_type=Paid)
    for event in (Placed(), Paid(), Shipped()):
        await publisher.publish(event)
    assert mail.heard == [("Mail", "Placed"), ("Audit", "Placed"), ("Mail", "Paid")]
    assert names(publisher) == ["Mail.on_event", "Audit.on_event"]


async def test_handler_that_is_added_for_everything_too_hears_everything_once_and_first(
    publisher: EventPublisher,
) -> None:
    mail = Mail()
    publisher.add_handler(Audit(mail.heard).on_event, Placed)
    publisher.add_handler(mail.on_event, Placed)
    publisher.add_handler(mail.on_event)
    publisher.add_handler(mail.on_event, Paid)
    for event in (Placed(), Paid()):
        await publisher.publish(event)
    assert mail.heard == [("Mail", "Placed"), ("Audit", "Placed"), ("Mail", "Paid")]


async def test_event_type_can_be_given_by_name_and_as_none(publisher: EventPublisher) -> None:
    general, placed, paid = handlers = [AsyncMock() for _ in range(3)]
    publisher.add_handler(general, None)
    publisher.add_handler(placed, event_type=Placed)
    publisher.add_handler(paid, None, event_type=Paid)
    for event in (Placed(), Paid()):
        assert (await publisher.publish(event)).ok
    assert [handler.await_count for handler in handlers] == [2, 1, 1]
    with pytest.raises(ProjectionError, match=r"What AsyncMock is added for .*event classes"):
        publisher.add_handler(AsyncMock(), "Placed")  # type: ignore[arg-type]  # as a mistake would


async def test_handlers_that_nothing_tells_apart_are_numbered_but_no_worker_takes_them(
    publisher: EventPublisher,
) -> None:
    for handler in (AsyncMock(), AsyncMock(), AsyncMock(side_effect=ValueError)):
        publisher.add_handler(handler)
    result = await publisher.publish(Placed())
    assert result.handled == ("AsyncMock", "AsyncMock-2")
    assert [failure.name for failure in result.failures] == ["AsyncMock-3"]
    with pytest.raises(ProjectionError, match=r"AsyncMock is one of several .*`name` attribute"):
        subscriptions_of(publisher)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Named(), Named()),
        (Mail().on_event, Mail().on_event),
        (partial(Mail.on_event, Mail()), partial(Mail.on_event, Mail())),
    ],
)
def test_projections_that_nothing_tells_apart_are_refused(
    publisher: EventPublisher, first: Any, second: Any
) -> None:
    for target in (first, second):
        if not callable(target):
            target.handle = target.on_event
    publisher.add_projection(first)
    with pytest.raises(ProjectionError, match=r"Two subscribers are called .*`name` attribute"):
        publisher.add_projection(second)
    assert len(publisher.projections) == 1


def test_handlers_that_call_themselves_the_same_are_refused(publisher: EventPublisher) -> None:
    mails = [AsyncMock(), AsyncMock()]
    for mail in mails:
        mail.name = "mail"
    publisher.add_handler(mails[0])
    with pytest.raises(ProjectionError, match="Two subscribers are called 'mail'"):
        publisher.add_handler(mails[1])
    assert asyncio.iscoroutinefunction(publisher.handlers[0].call)
