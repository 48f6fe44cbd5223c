import msgspec
import pytest

from sidecar.errors import EventDecodingError
from sidecar.events.subscriber import Subscriber
from sidecar.events.types import EventTypes
from sidecar.projections.delivery import Delivery, Router
from tests.unit.records import RECORD, replace


class Placed(msgspec.Struct, frozen=True):
    order: str


class Paid(msgspec.Struct, frozen=True):
    order: str


async def listen(event: object) -> None:
    pass


class Picky:
    def can_handle(self, event: object) -> bool:
        assert isinstance(event, Placed)
        if event.order == "bad":
            raise BufferError
        return event.order == "1"

    async def handle(self, event: object) -> None:
        pass


@pytest.fixture
def types() -> EventTypes:
    types = EventTypes()
    types.register()(Placed)
    types.register()(Paid)
    types.rename("Ordered", "Placed")
    types.retire("Old")
    return types


def test_events_of_declared_classes_are_decoded_in_order(types: EventTypes) -> None:
    router = Router(Subscriber(listen, (Placed,)), types)
    records = [replace(type=name) for name in ("Placed", "Paid", "Ordered", "Unheard", "Old")]
    assert router.route(records) == [
        Delivery(records[0], Placed("1")),
        Delivery(records[2], Placed("1")),
    ]


def test_unwanted_types_are_not_even_decoded(types: EventTypes) -> None:
    router = Router(Subscriber(listen, (Placed,)), types)
    assert router.route([replace(type="Paid", data="broken")]) == []


def test_can_handle_sees_each_event(types: EventTypes) -> None:
    router = Router(Subscriber(Picky()), types)
    records = [replace(data=f'{{"order": "{order}"}}') for order in "121"]
    assert [delivery.record for delivery in router.route(records)] == [records[0], records[2]]


def test_event_that_cannot_be_read_comes_with_the_reason(types: EventTypes) -> None:
    router = Router(Subscriber(listen), types)
    good, bad = RECORD, replace(data="[]")
    delivery, broken = router.route([good, bad])
    assert delivery.error is None
    assert (broken.record, broken.event) == (bad, None)
    assert isinstance(broken.error, EventDecodingError)


def test_failure_of_can_handle_comes_with_its_event(types: EventTypes) -> None:
    router = Router(Subscriber(Picky()), types)
    broken, good = router.route([replace(data='{"order": "bad"}'), RECORD])
    assert isinstance(broken.error, BufferError)
    assert good.error is None


def test_without_registered_types_the_record_itself_is_the_event() -> None:
    class Plain:
        def can_handle(self, event: object) -> bool:
            kind = getattr(event, "event_type", "")
            if kind == "bad":
                raise BufferError
            return bool(kind == "Placed")

        async def handle(self, event: object) -> None:
            pass

    records = [RECORD, replace(type="Paid"), replace(type="bad")]
    delivery, broken = Router(Subscriber(Plain()), EventTypes()).route(records)
    assert delivery == Delivery(RECORD, RECORD)
    assert broken.record == records[2]
    assert isinstance(broken.error, BufferError)
