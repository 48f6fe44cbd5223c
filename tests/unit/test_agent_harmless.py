"""Whatever an agent cannot do, its application starts, runs and ends as without one."""

import json
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import ClientSession, UnixConnector

from sidecar.health.check import Check
from sidecar.health.outcome import passed
from sidecar.health.registry import Checks
from sidecar.process.agent_socket import list_sockets, shorten
from sidecar.wiring.application_agent import agent
from tests.port import free_port


class Slotted:
    __slots__ = ()

    async def publish(self, event: object) -> None: ...


@pytest.fixture(autouse=True)
def of_a_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENVIRONMENT", "development")
    return tmp_path / ".sidecar" / "agents"


async def heartbeat(path: Path) -> dict[str, Any]:
    connector = UnixConnector(shorten(path))
    async with ClientSession(connector=connector) as http, http.get("http://a/heartbeat") as answer:
        told: dict[str, Any] = await answer.json()
        return told


async def metrics(url: str, **headers: str) -> tuple[int, str]:
    async with ClientSession() as http, http.get(f"{url}/metrics", headers=headers) as answer:
        return answer.status, await answer.text()


def a_file_in_the_way(agents: Path) -> Path:
    agents.parent.write_text("no directory")
    return agents


def too_deep(agents: Path) -> Path:
    return agents / ("d" * 100)


def no_rights(_: Path) -> Path:
    return Path("/proc/sys/agents")


@pytest.mark.parametrize("spoil", [a_file_in_the_way, too_deep, no_rights])
async def test_without_a_socket_the_application_goes_on_and_is_heard_at_its_port(
    spoil: Callable[[Path], Path],
    of_a_service: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIDECAR_AGENT_DIR", str(spoil(of_a_service)))
    port = free_port()
    async with agent(port=port):
        status, text = await metrics(f"http://127.0.0.1:{port}")
    assert status == 200
    assert 'sidecar_agent_failures_total{part="socket"} 1.0' in text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "The agent goes on without its socket: " in caplog.text


async def test_a_port_that_is_taken_leaves_the_socket(
    of_a_service: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("SIDECAR_AGENT_PORT", str(taken.getsockname()[1]))
        async with agent(), agent():
            paths = list_sockets(of_a_service).values()
            told = [await heartbeat(path) for path in paths]
    assert [each["troubles"] for each in told] == [{"port": 1}] * 2
    assert {each["pid"] for each in told} == {os.getpid()}
    assert caplog.text.count("already in use") == 2
    assert list_sockets(of_a_service) == {}


async def test_by_default_no_port_is_opened_that_others_may_want(of_a_service: Path) -> None:
    async with agent():
        connections = psutil.Process().net_connections("tcp")
        assert [each for each in connections if each.status == psutil.CONN_LISTEN] == []
        assert len(list_sockets(of_a_service)) == 1


async def test_the_former_port_is_listened_at_where_the_sidecar_is_known_to_ask_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    monkeypatch.setattr("sidecar.wiring.place.FORMER_PORT", port)
    monkeypatch.setenv("SIDECAR_APP_AGENT_URL", f"http://localhost:{port},http://shop:{port}")
    async with agent(), agent():
        assert (await metrics(f"http://127.0.0.1:{port}"))[0] == 200


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"publisher": object()}, "publisher"),
        ({"publisher": Slotted()}, "publisher"),
        ({"pool": object()}, "pool"),
        ({"store": object()}, "store"),
        ({"checks": 7}, "checks"),
        ({"host": "no such host", "port": 1}, "port"),
    ],
)
async def test_what_is_not_what_it_should_be_is_told_and_the_rest_is_shown(
    given: dict[str, Any], part: str, of_a_service: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with agent(**given):
        [path] = list_sockets(of_a_service).values()
        assert (await heartbeat(path))["troubles"] == {part: 1}
    assert caplog.text.count(f"The agent goes on without its {part}: ") == 1


async def test_an_environment_that_cannot_be_read_leaves_the_application_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("no environment")

    monkeypatch.setattr("sidecar.config.environ.read", fail)
    ran = False
    async with agent():
        ran = True
    assert ran
    assert "The agent goes on without its start: RuntimeError" in caplog.text


async def test_what_the_application_raises_passes_as_it_is(of_a_service: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with agent():
            raise ZeroDivisionError
    assert list_sockets(of_a_service) == {}


async def test_more_checks_than_are_told_are_counted(of_a_service: Path) -> None:
    checks = Checks()
    for each in range(130):
        checks.add(Check(name=f"tenant-{each}", run=passed))
    async with agent(checks=checks):
        [path] = list_sockets(of_a_service).values()
        told = await heartbeat(path)
    assert (len(told["checks"]), told["left_out"]) == (100, 30)
    assert len(json.dumps(told)) < 64 * 1024


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost", 200),
        ("[::1]:9", 200),
        ("127.0.0.9:1", 200),
    ],
)
async def test_a_page_whose_name_was_rebound_to_this_machine_reads_nothing(
    host: str, status: int
) -> None:
    port = free_port()
    async with agent(port=port):
        assert (await metrics(f"http://127.0.0.1:{port}", Host=host))[0] == status
