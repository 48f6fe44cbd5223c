import asyncio
from pathlib import Path

import pytest

from sidecar.wiring.application_agent import agent
from tests.port import free_port


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /heartbeat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200),
        (b"GET /c4nary HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        (b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nc4nary without a colon\r\n\r\n", 400),
        (b"c4nary\r\n\r\n", 400),
    ],
)
async def test_no_answer_of_an_agent_tells_the_versions_of_libraries(
    request_: bytes, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    port = free_port()
    async with agent(port=port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_)
        answer = await asyncio.wait_for(reader.read(), 10.0)
        writer.close()
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert int(answer.split(b" ", 2)[1]) == status
    assert b"\r\nserver: event-sidecar" in head
    assert b"aiohttp" not in head
    assert b"python/" not in head
    assert b"c4nary" not in answer
