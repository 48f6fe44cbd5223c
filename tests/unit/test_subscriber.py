import itertools
from functools import partial, wraps
from typing import Any, cast
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.subscriber import Connection, Subscriber
from sidecar.events.subscriber_name import name_of


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
        await Subscriber(listener).invoke("event", connection, None)
    assert heard == [("event",), ("event", "connection"), ("event", "connection", None)]


async def with_default(event: object, retries: int = 3) -> None:
    """As handlers of today may have it."""


async def with_rest(event: object, *rest: object, **more: object) -> None:
    pass


async def with_anything(*args: object, **more: object) -> None:
    pass


async def with_named_default(event: object, connection: object, *, dry_run: bool = False) -> None:
    pass


async def with_default_record(event: object, connection: object, record: object = None) -> None:
    pass


async def with_default_event(event: object = None) -> None:
    pass


async def with_mailer(mailer: object, event: object, subject: str) -> None:
    pass


@wraps(with_named_default)
async def wrapped(*args: object, **more: object) -> None:
    pass


class Defaulting:
    async def handle(self, event: object, retries: int = 3) -> None:
        pass

    @classmethod
    async def of_class(cls, event: object, retries: int = 3) -> None:
        pass


@pytest.mark.parametrize(
    ("target", "parameters"),
    [
        (with_default, 1),
        (with_rest, 1),
        (with_anything, 1),
        (with_default_event, 1),
        (with_named_default, 2),
        (with_default_record, 2),
        pytest.param(wrapped, 2, id="wrapped"),
        (partial(with_default, retries=5), 1),
        (partial(with_mailer, "mailer", subject="hello"), 1),
        (partial(with_named_default, dry_run=True), 2),
        (Defaulting(), 1),
        (Defaulting().handle, 1),
        (Defaulting.of_class, 1),
    ],
)
def test_only_parameters_without_a_default_are_given(target: object, parameters: int) -> None:
    assert Subscriber(target).parameters == parameters


async def test_a_default_of_todays_handler_is_kept() -> None:
    heard: list[tuple[object, ...]] = []

    async def listen(event: object, retries: int = 3) -> None:
        heard.append((event, retries))

    await Subscriber(listen).invoke("event", cast("Connection", "connection"), None)
    assert heard == [("event", 3)]


def test_parameter_that_nobody_passes_is_refused() -> None:
    async def listen(event: object, *, mailer: object) -> None:
        pass

    with pytest.raises(ProjectionError, match="requires mailer by name"):
        Subscriber(listen)


def test_asynchronous_can_handle_is_refused() -> None:
    class Waiting(Totals):
        async def can_handle(self, event: object) -> bool:
            return False

    class Flagged(Totals):
        can_handle = True

    for target in (Waiting(), Flagged()):
        with pytest.raises(ProjectionError, match="can_handle is no plain function"):
            Subscriber(target)


def test_can_handle_of_none_is_no_say() -> None:
    class Silent(Totals):
        can_handle = None

    assert Subscriber(Silent()).accepts(object())


def test_can_handle_that_nobody_asks_may_be_anything() -> None:
    class Waiting(Totals):
        async def can_handle(self, event: object) -> bool:
            return False

    subscriber = Subscriber(Waiting(), (Placed,))
    assert subscriber.accepts(Placed())
    assert not subscriber.accepts(Paid())


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


@pytest.mark.parametrize("handles", ["Placed", ["Placed"], 7, {Placed: "on_placed"}])
def test_listing_anything_but_classes_is_refused(handles: Any) -> None:
    class Listing(Totals):
        pass

    Listing.handles = handles  # type: ignore[attr-defined]
    with pytest.raises(ProjectionError, match=r"Listing\.handles"):
        Subscriber(Listing())


def test_listener_must_be_asynchronous() -> None:
    def listen(event: object) -> None:
        pass

    class Callable:
        def __call__(self, event: object) -> None:
            pass

    class Waiting:
        async def __call__(self, event: object) -> None:
            pass

    waiting: Any = lambda event: listen(event)  # noqa: E731, PLW0108 - no coroutine function
    for target in (listen, partial(listen), Callable(), Waiting, waiting, MagicMock(), object(), 7):
        with pytest.raises(ProjectionError, match="neither an async function"):
            Subscriber(target)


def test_class_in_place_of_its_object_is_refused() -> None:
    with pytest.raises(ProjectionError, match=r"add an object of it, as in `Totals\(\)`"):
        Subscriber(Totals)


class Calls:
    async def __call__(self, event: object, connection: object) -> None:
        pass


def retried(listen: Any) -> Any:
    @wraps(listen)
    def call(*args: object, **more: object) -> Any:
        return listen(*args, **more)

    return call


@pytest.mark.parametrize(
    ("target", "name", "parameters"),
    [
        (Calls(), "Calls", 2),
        (partial(Calls(), connection=None), "Calls", 1),
        (partial(listen), "listen", 1),
        (partial(Named().handle, connection=None), "handle", 1),
        (retried(listen), "listen", 1),
        (AsyncMock(), "AsyncMock", 1),
        (create_autospec(with_named_default), "with_named_default", 2),
        (MagicMock(handle=AsyncMock()), "MagicMock", 1),
        (AsyncMock(handle=create_autospec(with_named_default), can_handle=Mock()), "AsyncMock", 2),
    ],
    ids=itertools.count(),
)
def test_whatever_can_be_awaited_for_an_event_is_a_subscriber(
    target: Any, name: str, parameters: int
) -> None:
    is_handler = isinstance(target, AsyncMock) and parameters == 1
    subscriber = Subscriber(target, is_handler=is_handler)
    assert (subscriber.name, subscriber.parameters) == (name, parameters)
    assert subscriber.handles is None
    assert subscriber.accepts(Placed())


def test_handles_that_is_a_method_or_a_mock_lists_no_classes() -> None:
    class Testing(Totals):
        def handles(self, event: object) -> bool:
            raise NotImplementedError

        def can_handle(self, event: object) -> bool:
            return isinstance(event, Placed)

    subscriber = Subscriber(Testing())
    assert subscriber.handles is None
    assert [subscriber.accepts(event) for event in (Placed(), Paid())] == [True, False]


def test_listener_takes_one_to_three_parameters() -> None:
    async def none() -> None:
        pass

    async def named(*, event: object = None) -> None:
        pass

    async def four(a: int, b: int, c: int, d: int) -> None:
        pass

    for target in (none, named, four):
        with pytest.raises(ProjectionError, match=target.__name__):
            Subscriber(target)


def test_empty_name_falls_back_to_the_class() -> None:
    class Unnamed(Totals):
        name = ""

    assert name_of(Unnamed()) == "Unnamed"
