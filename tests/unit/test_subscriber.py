from typing import Any, cast

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.subscriber import Connection, Subscriber, name_of


class Placed:
    pass


class Paid:
    pass


async def listen(event: object) -> None:
    pass


class Totals:
    async def handle(self, event: object, connection: object, record: object) -> None:
        pass


class Named:
    name = "totals-v2"

    def can_handle(self, event: object) -> bool:
        return isinstance(event, Placed)

    async def handle(self, event: object, connection: object) -> None:
        pass


@pytest.mark.parametrize(
    ("target", "name", "parameters"),
    [
        (listen, "listen", 1),
        (Named(), "totals-v2", 2),
        (Totals(), "Totals", 3),
    ],
)
def test_shape_of_a_listener_is_read_from_it(target: object, name: str, parameters: int) -> None:
    subscriber = Subscriber(target)
    assert (subscriber.name, subscriber.parameters) == (name, parameters)
    assert subscriber.wants_connection is (parameters > 1)


async def test_a_bound_listener_gets_as_much_as_it_takes() -> None:
    heard: list[tuple[object, ...]] = []

    async def one(event: object) -> None:
        heard.append((event,))

    async def two(event: object, connection: object) -> None:
        heard.append((event, connection))

    async def three(event: object, connection: object, record: object) -> None:
        heard.append((event, connection, record))

    connection = cast("Connection", "connection")
    for listener in (one, two, three):
        await Subscriber(listener).bind(connection)("event", None)
    assert heard == [("event",), ("event", "connection"), ("event", "connection", None)]


def test_everything_is_accepted_without_a_say() -> None:
    assert Subscriber(listen).accepts(object())


def test_can_handle_decides() -> None:
    subscriber = Subscriber(Named())
    assert subscriber.accepts(Placed())
    assert not subscriber.accepts(Paid())


def test_declared_classes_decide() -> None:
    subscriber = Subscriber(listen, (Placed,))
    assert subscriber.accepts(Placed())
    assert not subscriber.accepts(Paid())


@pytest.mark.parametrize("handles", [(Placed,), [Placed], {Placed}, Placed])
def test_classes_can_be_listed_in_any_form(handles: Any) -> None:
    class Listing(Totals):
        pass

    Listing.handles = handles  # type: ignore[attr-defined]
    assert Subscriber(Listing()).handles == (Placed,)


@pytest.mark.parametrize("handles", ["Placed", ["Placed"], 7])
def test_listing_anything_but_classes_is_refused(handles: Any) -> None:
    class Listing(Totals):
        pass

    Listing.handles = handles  # type: ignore[attr-defined]
    with pytest.raises(ProjectionError, match=r"Listing\.handles"):
        Subscriber(Listing())


def test_listener_must_be_asynchronous() -> None:
    def listen(event: object) -> None:
        pass

    for target in (listen, object(), 7):
        with pytest.raises(ProjectionError, match="neither an async function"):
            Subscriber(target)


def test_listener_takes_one_to_three_parameters() -> None:
    async def none() -> None:
        pass

    async def four(a: int, b: int, c: int, d: int) -> None:
        pass

    for target in (none, four):
        with pytest.raises(ProjectionError, match=target.__name__):
            Subscriber(target)


def test_empty_name_falls_back_to_the_class() -> None:
    class Unnamed(Totals):
        name = ""

    assert name_of(Unnamed()) == "Unnamed"
