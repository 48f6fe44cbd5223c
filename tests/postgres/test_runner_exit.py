"""A handler that raises what ends a task or a process fails for its event alone."""

import asyncio
from typing import Final

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


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, PanicError])
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
