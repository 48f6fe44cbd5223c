import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from sidecar.web.app import Sources, build
from sidecar.web.client_connection import MAX_CONNECTIONS
from sidecar.web.server import serve
from tests.incidents.patience import eventually

ASK = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Caller:
    """A connection that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def ask(self, request: bytes = ASK) -> int:
        """Ask and return the status; 0 when the connection is closed."""
        self.send(request)
        line = await self.reader.readline()
        if not line:
            return 0
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(part for part in head.split(b"\r\n") if part.startswith(b"Content-Length"))
        await self.reader.readexactly(int(length.split(b":")[1]))
        return int(line.split()[1])

    def send(self, request: bytes) -> None:
        self._writer.write(request)

    def close(self) -> None:
        self._writer.close()


async def call(url: str) -> Caller:
    address = urlsplit(url)
    return Caller(*await asyncio.open_connection(address.hostname, address.port))


async def test_connections_that_never_asked_make_room_for_those_that_did(start: Any) -> None:
    listener = await start()
    loyal = await call(listener.url)
    assert await loyal.ask() == 200
    idle = [await call(listener.url) for _ in range(MAX_CONNECTIONS + 50)]

    async def is_bounded() -> bool:
        return sum(caller.reader.at_eof() for caller in idle) >= 51

    await eventually(is_bounded, 5.0)
    assert sum(caller.reader.at_eof() for caller in idle) == 51
    # The oldest went; the newest and the one that had asked are served.
    assert all(caller.reader.at_eof() for caller in idle[:51])
    assert await loyal.ask() == await idle[-1].ask() == 200
    for caller in [loyal, *idle]:
        caller.close()


async def test_a_request_under_way_is_finished_when_the_server_closes(start: Any) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def collect(_accept: str) -> tuple[bytes, str]:
        asked.set()
        await may_answer.wait()
        return b"late", "text/plain"

    listener = await start(collect_metrics=collect)
    caller = await call(listener.url)
    asking = asyncio.create_task(caller.ask(ASK.replace(b"/health", b"/metrics")))
    await asked.wait()
    closing = asyncio.create_task(listener.close())
    await asyncio.sleep(0)
    may_answer.set()
    assert await asking == 200
    await closing
    caller.close()


async def test_closing_waits_for_nobody_who_is_idle(start: Any) -> None:
    listener = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"GET /health HTTP/1.1\r\nHo")
    await writer.drain()

    async with asyncio.timeout(1):
        await listener.close()

    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_client_that_never_finishes_its_head_is_disconnected(
    sent: bytes, sources: Sources
) -> None:
    listener = await serve(build(sources), "127.0.0.1", 0, keepalive_seconds=0.05)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(sent)

        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
    finally:
        await listener.close()


async def test_a_client_that_keeps_sending_after_a_refusal_is_disconnected(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.web.client_connection.LINGER_SECONDS", 0.05)
    listener = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"nonsense\r\n\r\n")

    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.0 400 Bad Request")
        with pytest.raises(ConnectionError):
            await _send_forever(writer)
    writer.close()


async def _send_forever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()
        await asyncio.sleep(0)


async def test_hundreds_of_idle_connections_do_not_keep_others_from_an_answer(
    start: Any, http: ClientSession
) -> None:
    listener = await start()
    idle = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(400)]
    try:
        for _, writer in idle:
            writer.write(b"GET /health HTTP/1.1\r\nX-Slow: ")
        async with http.get(listener.url + "/health") as answer:
            assert answer.status == 200
    finally:
        for _, writer in idle:
            writer.close()
