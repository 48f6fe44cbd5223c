import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publish_result import Failure, PublishResult
from sidecar.events.publisher import EventPublisher
from sidecar.events.subscriber import SubscriberKind


class Placed:
    pass


class Paid:
    pass


Listener = Callable[[object], Coroutine[Any, Any, None]]


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def make(heard: list[str]) -> Callable[..., Listener]:
    def make_listener(name: str, error: BaseException | None = None) -> Listener:
        async def listen(event: object) -> None:
            heard.append(name)
            if error is not None:
                raise error

        listen.__name__ = name
        return listen

    return make_listener


async def test_general_handlers_hear_first_then_specific_ones_then_projections(
    heard: list[str], make: Callable[..., Listener]
) -> None:
    publisher = EventPublisher()
    publisher.add_projection(make("projection"))
    publisher.add_handler(make("specific"), Placed)
    publisher.add_handler(make("other"), Paid)
    publisher.add_handler(make("general"))
    publisher.add_handler(make("second specific"), Placed, Paid)
    result = await publisher.publish(Placed())
    assert heard == ["general", "specific", "second specific", "projection"]
    assert result == PublishResult("Placed", tuple(heard), ())
    assert result.ok


async def test_failures_are_collected_and_stop_nobody(
    heard: list[str], make: Callable[..., Listener]
) -> None:
    publisher = EventPublisher()
    publisher.add_handler(make("mailer", ValueError("no")))
    publisher.add_projection(make("totals", KeyError("k")))
    publisher.add_projection(make("search", OSError()))
    publisher.add_projection(make("stock"))
    result = await publisher.publish(Placed())
    assert heard == ["mailer", "totals", "search", "stock"]
    assert result.handled == ("stock",)
    assert not result.ok
    assert [(f.kind, f.name, f.error_type) for f in result.failures] == [
        (SubscriberKind.HANDLER, "mailer", "ValueError"),
        (SubscriberKind.PROJECTION, "totals", "KeyError"),
        (SubscriberKind.PROJECTION, "search", "OSError"),
    ]
    assert result.failed_projections == ("totals", "search")


async def test_each_failure_is_an_error_and_all_projections_are_one_critical(
    make: Callable[..., Listener], caplog: pytest.LogCaptureFixture
) -> None:
    publisher = EventPublisher()
    publisher.add_handler(make("mailer", ValueError("no")))
    publisher.add_projection(make("totals", KeyError("k")))
    publisher.add_projection(make("search", OSError()))
    await publisher.publish(Placed())
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 3
    for record, name in zip(errors, ("mailer", "totals", "search"), strict=True):
        assert name in record.message
        assert record.exc_info is not None
        assert record.exc_info[2] is not None
    (critical,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "totals, search" in critical.message
    assert "mailer" not in critical.message
    assert vars(critical)["projections"] == ["totals", "search"]


async def test_failed_handlers_alone_are_not_critical(
    make: Callable[..., Listener], caplog: pytest.LogCaptureFixture
) -> None:
    publisher = EventPublisher()
    publisher.add_handler(make("mailer", ValueError("no")))
    await publisher.publish(Placed())
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def cancel_caller(_event: object) -> None:
    """Wait for the end, as does a handler under way while its application shuts down."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.Event().wait()


async def leak_cancellation(_event: object) -> None:
    """Await what somebody else cancelled."""
    inner = asyncio.create_task(asyncio.Event().wait())
    inner.cancel()
    await inner


async def time_out(_event: object) -> None:
    async with asyncio.timeout(0):
        await asyncio.Event().wait()


async def publish_and_be_cancelled(publisher: EventPublisher, event: object) -> None:
    task = asyncio.create_task(publisher.publish(event))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_cancellation_of_the_caller_passes_and_the_rest_is_not_told(
    heard: list[str], make: Callable[..., Listener]
) -> None:
    publisher = EventPublisher()
    publisher.add_handler(make("first"))
    publisher.add_handler(cancel_caller)
    publisher.add_projection(make("totals"))
    await publish_and_be_cancelled(publisher, Placed())
    assert heard == ["first"]


@pytest.mark.parametrize(
    ("subscriber", "error_type"),
    [
        (leak_cancellation, "HandlerExitError"),
        (time_out, "TimeoutError"),
    ],
)
async def test_cancellation_that_a_subscriber_brings_about_is_its_own_failure(
    heard: list[str],
    make: Callable[..., Listener],
    subscriber: Listener,
    error_type: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        handle = staticmethod(subscriber)

    publisher = EventPublisher()
    publisher.add_handler(subscriber)
    publisher.add_projection(Broken())
    publisher.add_projection(make("totals"))
    result = await publisher.publish(Placed())
    assert [(f.name, f.error_type) for f in result.failures] == [
        (subscriber.__name__, error_type),
        ("Broken", error_type),
    ]
    assert heard == ["totals"]
    assert publisher.tally.projections["Broken"].failures == {error_type: 1}
    assert "CancelledError" in caplog.text
    error = await publisher.deliver_to("Broken", Placed())
    assert type(error).__name__ == error_type


async def test_subscriber_that_wants_to_end_the_process_fails_alone(
    heard: list[str], make: Callable[..., Listener]
) -> None:
    publisher = EventPublisher()
    publisher.add_handler(make("leaving", SystemExit(3)))
    publisher.add_handler(make("staying"))
    result = await publisher.publish(Placed())
    assert [(f.name, f.error_type) for f in result.failures] == [("leaving", "HandlerExitError")]
    assert result.handled == ("staying",)


class PanicError(BaseException):
    """What extension modules raise when they panic."""


@pytest.mark.parametrize(
    "error",
    [
        GeneratorExit(),
        PanicError(),
        BaseExceptionGroup("many", [SystemExit(1), ValueError()]),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_ends_a_caller_is_the_failure_of_who_raised_it(
    heard: list[str], make: Callable[..., Listener], error: BaseException
) -> None:
    class Choosing:
        def can_handle(self, event: object) -> bool:
            raise error

        async def handle(self, event: object) -> None:
            raise NotImplementedError

    publisher = EventPublisher(sink=Sink(error))
    publisher.add_handler(make("leaving", error))
    publisher.add_projection(make("raising", error))
    publisher.add_projection(Choosing())
    publisher.add_projection(make("staying"))
    result = await publisher.publish(Placed())
    assert [(f.name, f.error_type) for f in result.failures] == [
        (name, "HandlerExitError") for name in ("leaving", "raising", "Choosing")
    ]
    assert result.handled == ("staying",)


async def test_publish_that_is_closed_ends_there(
    heard: list[str], make: Callable[..., Listener]
) -> None:
    class Pause:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def wait(_event: object) -> None:
        await Pause()

    publisher = EventPublisher()
    publisher.add_handler(wait)
    publisher.add_projection(make("totals"))
    publishing = publisher.publish(Placed())
    publishing.send(None)
    publishing.close()
    assert heard == []


async def test_ctrl_c_that_raises_nothing_here_was_raised_by_the_subscriber(
    make: Callable[..., Listener],
) -> None:
    """As in workers, and under servers that handle signals themselves."""
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        publisher = EventPublisher()
        publisher.add_handler(make("leaving", KeyboardInterrupt()))
        publisher.add_handler(make("staying"))
        result = await publisher.publish(Placed())
    finally:
        signal.signal(signal.SIGINT, before)
    assert [(f.name, f.error_type) for f in result.failures] == [("leaving", "HandlerExitError")]
    assert result.handled == ("staying",)


async def test_ctrl_c_passes(make: Callable[..., Listener]) -> None:
    publisher = EventPublisher()
    publisher.add_handler(make("interrupted", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        await publisher.publish(Placed())


async def test_failure_of_can_handle_is_that_projections_failure(
    heard: list[str], make: Callable[..., Listener]
) -> None:
    class Broken:
        def can_handle(self, event: object) -> bool:
            raise BufferError

        async def handle(self, event: object) -> None:
            raise NotImplementedError

    publisher = EventPublisher()
    publisher.add_projection(Broken())
    publisher.add_projection(make("totals"))
    assert (await publisher.publish(Placed())).failed_projections == ("Broken",)
    assert heard == ["totals"]


async def test_counts_are_kept_by_type_name_and_error(make: Callable[..., Listener]) -> None:
    publisher = EventPublisher()
    publisher.add_handler(make("mailer"))
    publisher.add_projection(make("totals", KeyError("k")))
    for event in (Placed(), Placed(), Paid()):
        await publisher.publish(event)
    assert publisher.tally.published == {"Placed": 2, "Paid": 1}
    assert publisher.tally.handlers["mailer"].handled == 3
    assert publisher.tally.projections["totals"].handled == 0
    assert publisher.tally.projections["totals"].failures == {"KeyError": 3}


async def test_projection_with_a_connection_is_called_in_a_transaction() -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def open_transaction() -> AsyncIterator[Any]:
        seen.append("begin")
        yield "connection"
        seen.append("commit")

    async def totals(event: object, connection: object) -> None:
        seen.append(connection)

    publisher = EventPublisher(transaction=open_transaction)
    publisher.add_projection(totals)
    assert (await publisher.publish(Placed())).ok
    assert seen == ["begin", "connection", "commit"]


async def test_projection_with_a_connection_fails_where_there_is_none() -> None:
    async def totals(event: object, connection: object) -> None:
        raise NotImplementedError

    publisher = EventPublisher()
    publisher.add_projection(totals)
    (failure,) = (await publisher.publish(Placed())).failures
    assert isinstance(failure.error, ProjectionError)
    assert "sidecar run" in str(failure.error)


class Sink:
    """Cannot keep anything."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def keep(self, event: object, failures: Sequence[Failure], trace_id: str | None) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [KeyError("k"), RecursionError(), ProjectionError("no")], ids=repr
)
async def test_failure_to_keep_failures_is_logged_and_never_raised(
    make: Callable[..., Listener], caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    publisher = EventPublisher(sink=Sink(error))
    publisher.add_projection(make("totals", ValueError("no")))
    assert (await publisher.publish(Placed())).failed_projections == ("totals",)
    [lost] = [r for r in caplog.records if vars(r).get("event") == "sidecar.letters.lost"]
    assert lost.levelno == logging.CRITICAL
    assert lost.exc_info is not None
    assert lost.exc_info[1] is error


async def test_cancellation_of_the_caller_passes_while_failures_are_kept(
    make: Callable[..., Listener],
) -> None:
    class Waiting:
        async def keep(
            self, event: object, failures: Sequence[Failure], trace_id: str | None
        ) -> None:
            await cancel_caller(event)

    publisher = EventPublisher(sink=Waiting())
    publisher.add_projection(make("totals", ValueError("no")))
    await publish_and_be_cancelled(publisher, Placed())


def test_two_subscribers_of_one_name_are_refused(make: Callable[..., Listener]) -> None:
    publisher = EventPublisher()
    publisher.add_handler(make("totals"))
    with pytest.raises(ProjectionError, match="totals"):
        publisher.add_projection(make("totals"))


async def test_observer_hears_of_each_end_even_of_a_cancelled_publish(
    make: Callable[..., Listener],
) -> None:
    class Observer:
        def __init__(self) -> None:
            self.heard: list[object] = []

        def begin(self, event_type: str) -> object:
            self.heard.append(event_type)
            return 7

        def end(self, token: object, result: PublishResult | None) -> None:
            self.heard.append((token, result and result.handled))

        def trace_id(self) -> str | None:
            return None

    publisher = EventPublisher()
    publisher.observer = observer = Observer()
    publisher.add_handler(make("mailer"), Placed)
    publisher.add_handler(cancel_caller, Paid)
    await publisher.publish(Placed())
    await publish_and_be_cancelled(publisher, Paid())
    assert observer.heard == ["Placed", (7, ("mailer",)), "Paid", (7, None)]
