"""The processes of an application are followed from when they come until they end or die."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.health.outcome import Outcome
from sidecar.process import application
from sidecar.process.agent import Agent, listen
from sidecar.process.agent_socket import AgentSocket, open_socket
from sidecar.process.application import Application, number
from sidecar.process.heartbeat import Heartbeat
from sidecar.process.loop_lag import LoopLagMonitor
from sidecar.wiring.checks.process import judge_application
from tests.incidents.patience import eventually


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(application, "SCAN_SECONDS", 0.02)
    monkeypatch.setattr("sidecar.process.agent_poller.INTERVAL_SECONDS", 0.05)
    return tmp_path / "agents"


class Process:
    """An agent as one process of the application has it, in this one."""

    def __init__(self, directory: Path, *, port: bool = False) -> None:
        self.socket: AgentSocket = open_socket(directory)
        more = [listen("127.0.0.1", 0)] if port else []
        self.url = f"http://127.0.0.1:{more[0].getsockname()[1]}" if more else ""
        self._agent = Agent(
            *(self.socket.listener, *more),
            exposition=lambda: (b"up 1\n", "text/plain"),
            heartbeat=lambda: Heartbeat(agent=self.socket.name),
            lag_monitor=LoopLagMonitor(),
        )

    async def start(self) -> "Process":
        await self._agent.__aenter__()
        return self

    async def end(self) -> None:
        self.socket.remove()
        await self.die()

    async def die(self) -> None:
        await self._agent.__aexit__()


@asynccontextmanager
async def followed(directory: Path | None, *urls: str) -> AsyncIterator[Application]:
    made = Application(directory, urls)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait((task,))


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def known(made: Application, *names: str) -> None:
    async def are_known() -> bool:
        return tuple(member.name for member in made.members) == names

    await eventually(are_known, 5.0)


async def test_processes_are_numbered_while_they_live_and_the_next_takes_a_free_number(
    directory: Path,
) -> None:
    first = await Process(directory).start()
    async with followed(directory) as made:
        await known(made, "app-1")
        second = await Process(directory).start()
        await known(made, "app-1", "app-2")
        await first.end()
        await known(made, "app-2")
        assert made.lost(0.0) == ()
        third = await Process(directory).start()
        await known(made, "app-1", "app-2")
        assert [each.metrics for each in made.members] == ["up 1\n"] * 2
        await second.end()
        await third.end()
        await known(made)
    assert made.is_known
    assert not made.has_died


async def test_a_process_that_died_is_told_and_its_place_is_taken_over(directory: Path) -> None:
    first = await Process(directory).start()
    async with followed(directory) as made:
        await known(made, "app-1")
        second = await Process(directory).start()
        await known(made, "app-1", "app-2")
        await first.die()
        await known(made, "app-2")
        now_mono = asyncio.get_running_loop().time()
        assert made.lost(now_mono) == ("app-1",)
        assert made.lost(now_mono + application.LOST_SECONDS) == ("app-1",)
        assert names(directory) == [f"{second.socket.name}.sock"]
        third = await Process(directory).start()
        await known(made, "app-1", "app-2")
        assert made.lost(now_mono) == ("app-1",)
        assert made.lost(now_mono + application.LOST_SECONDS + 1) == ()
        await second.die()
        await third.die()
        await known(made)
    assert made.has_died


async def test_one_that_has_begun_and_not_answered_yet_is_starting_and_has_not_ended(
    directory: Path,
) -> None:
    # The socket is there before the loop turns that answers, and nobody is at the port yet.
    waiting = open_socket(directory)
    async with followed(directory, "http://127.0.0.1:9") as made:

        async def is_starting() -> bool:
            return judge_application(made, 0.0).reason == "application.starting"

        await eventually(is_starting, 5.0)
        assert judge_application(made, 0.0).outcome is Outcome.UNKNOWN
        waiting.remove()
        waiting.listener.close()
        first = await Process(directory).start()
        await known(made, "app-1")
        # The next one of a restart.
        await first.end()
        await known(made)
        assert judge_application(made, 0.0).reason != "application.starting"
        waiting = open_socket(directory)
        await eventually(is_starting, 5.0)
        waiting.remove()
        waiting.listener.close()


async def test_what_was_dead_before_anybody_looked_is_cleaned_and_not_told(directory: Path) -> None:
    open_socket(directory).listener.close()
    async with followed(directory) as made:

        async def is_clean() -> bool:
            return not names(directory)

        await eventually(is_clean, 5.0)
        assert made.lost(0.0) == ()
    assert not made.is_known


async def test_a_process_that_never_answers_is_known_by_its_socket(directory: Path) -> None:
    hung = open_socket(directory)
    with hung.listener:
        async with followed(directory) as made:
            await known(made, "app-1")
            assert made.members[0].contact.answered_mono is None


async def test_a_process_that_is_heard_at_a_socket_and_at_a_port_is_one(directory: Path) -> None:
    both = await Process(directory, port=True).start()
    alone = await Process(directory.with_name("elsewhere"), port=True).start()
    async with followed(directory, both.url, alone.url) as made:
        await known(made, "app-1", "app-2")
        await asyncio.sleep(0)
        assert {each.url for each in made.members} == {"http://agent", alone.url}
        assert made.unheard == ()
    await both.end()
    await alone.end()


async def test_an_address_where_nobody_ever_was_is_told_but_for_one_that_sockets_replace(
    directory: Path,
) -> None:
    here, elsewhere = "http://127.0.0.1:9", "http://shop.invalid:9"
    async with followed(directory, here, elsewhere) as made:
        assert [each.url for each in made.unheard] == [here, elsewhere]
        process = await Process(directory).start()
        await known(made, "app-1")
        assert [each.url for each in made.unheard] == [elsewhere]
        await process.end()


async def test_a_directory_that_cannot_be_read_is_told_and_forgets_nobody(
    directory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> dict[str, Path]:
        raise PermissionError(13, "Permission denied")

    process = await Process(directory).start()
    async with followed(directory) as made:
        await known(made, "app-1")
        monkeypatch.setattr(application, "list_sockets", refuse)

        async def is_told() -> bool:
            return made.is_unreadable

        await eventually(is_told, 5.0)
        assert [member.name for member in made.members] == ["app-1"]
    assert caplog.text.count("cannot be found") == 1
    await process.end()


@pytest.mark.parametrize(
    ("before", "present", "after"),
    [
        ({}, ("a", "b"), {"a": 1, "b": 2}),
        ({"a": 1, "b": 2, "c": 3}, ("b", "c", "d"), {"b": 2, "c": 3, "d": 1}),
        ({"a": 7}, ("a", "b", "c"), {"a": 7, "b": 1, "c": 2}),
        ({"a": 1}, (), {}),
    ],
)
def test_a_number_is_kept_for_life_and_the_lowest_free_one_is_given(
    before: dict[str, int], present: tuple[str, ...], after: dict[str, int]
) -> None:
    assert number(before, present) == after
