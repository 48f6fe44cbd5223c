"""A handler that raises what ends a task or a process fails for its event alone."""

import asyncio
import signal
from typing import Final, Self

import pytest

from sidecar.events.record import RecordedEvent
from sidecar.events.subscriber import Connection
from sidecar.projections.retry import RetryPolicy
from tests.postgres.shop import Journal, Placed
from tests.postgres.stage import open_stage

ONCE: Final = RetryPolicy(max_attempts=1)


class PanicError(BaseException):
    """What extension modules raise when they panic."""


class Leaving(Journal):
    """Raises for orders called `bad`."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self._error: Final = error

    async def handle(self, event: Placed, connection: Connection, record: RecordedEvent) -> None:
        await super().handle(event, connection, record)
        if event.order == "bad":
            raise self._error


class ManyError(BaseExceptionGroup[BaseException]):
    """Of a task group in which something wanted to end the process."""

    def __new__(cls) -> Self:
        return super().__new__(cls, "many", [SystemExit(1)])


EXITS: Final = [asyncio.CancelledError, SystemExit, PanicError, GeneratorExit, ManyError]


@pytest.mark.parametrize("error", EXITS)
async def test_exit_parks_its_stream_and_the_others_go_on(
    database: str, error: type[BaseException]
) -> None:
    async with open_stage(database, Leaving(error), policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.place("good", 1)
        await stage.catch_up()
        assert [line.stream for line in await stage.lines()] == ["good"]
        (letter,) = await stage.letters()
        assert (letter["stream"], letter["error_type"]) == ("bad", "HandlerExitError")
        assert error.__name__ in letter["error_message"]


@pytest.mark.parametrize("error", EXITS)
async def test_exit_in_what_chooses_events_parks_its_stream_as_well(
    database: str, error: type[BaseException]
) -> None:
    class Choosing(Journal):
        def can_handle(self, event: object) -> bool:
            if isinstance(event, Placed) and event.order == "bad":
                raise error
            return super().can_handle(event)

    async with open_stage(database, Choosing(), policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.place("good", 1)
        await stage.catch_up()
        assert [line.stream for line in await stage.lines()] == ["good"]
        assert [letter["error_type"] for letter in await stage.letters()] == ["HandlerExitError"]


async def test_ctrl_c_of_a_handler_is_its_failure_where_a_worker_handles_signals(
    database: str,
) -> None:
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        async with open_stage(database, Leaving(KeyboardInterrupt), policy=ONCE) as stage:
            await stage.place("bad", 1)
            await stage.place("good", 1)
            await stage.catch_up()
            assert [line.stream for line in await stage.lines()] == ["good"]
            assert [one["error_type"] for one in await stage.letters()] == ["HandlerExitError"]
    finally:
        signal.signal(signal.SIGINT, before)


async def test_handler_that_awaits_a_cancelled_task_does_not_end_its_loop(database: str) -> None:
    async def wait_in_vain(event: Placed) -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        task.cancel()
        await task

    async with open_stage(database, handlers=[wait_in_vain], policy=ONCE) as stage:
        await stage.place("bad", 1)
        await stage.catch_up()
        assert [letter["error_type"] for letter in await stage.letters()] == ["HandlerExitError"]


async def test_cancelled_loop_still_ends_in_the_middle_of_a_handler(database: str) -> None:
    begun = asyncio.Event()

    async def hang(event: Placed) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with open_stage(database, handlers=[hang]) as stage:
        await stage.place("slow", 1)
        stage.start()
        await stage.advance()
        await begun.wait()
        (task,) = stage.tasks
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await stage.letters() == []
