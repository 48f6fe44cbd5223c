import asyncio
import json
import logging
from typing import Any

import pytest
from aiohttp import ClientSession

from sidecar.errors import UsageError
from sidecar.web.app import Sources, build
from sidecar.web.openapi import openapi_document
from sidecar.web.server import serve

BEARER = {"Authorization": "Bearer correct-horse"}
PATHS = sorted(openapi_document("0")["paths"])
ENDING = [path for path in PATHS if path not in {"/events", "/login"}]


async def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are; return the status code and everything that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.create_task(_send(writer, request))
    try:
        answer = await reader.read()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
    return int(answer.split(b" ", 2)[1]), answer


async def _send(writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    await writer.drain()


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "Host: localhost", "Connection: close", *headers, "", ""]).encode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_anything_but_get_and_head_is_405(
    method: str, path: str, start: Any, http: ClientSession
) -> None:
    listener = await start()

    async with http.request(method, listener.url + path, headers=BEARER) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD"
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ENDING)
async def test_every_documented_path_answers_get_and_head(
    path: str, start: Any, http: ClientSession
) -> None:
    listener = await start()

    async with http.get(listener.url + path, headers=BEARER) as got:
        assert got.status == 200
        assert await got.read()
    async with http.head(listener.url + path, headers=BEARER) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Length"] == got.headers["Content-Length"]
        assert await answer.read() == b""


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/nothing", "/health/", "/ready/postgres", "//health", "/a/b/c"])
async def test_an_unknown_path_is_404_with_a_problem(
    method: str, path: str, start: Any, http: ClientSession
) -> None:
    listener = await start()

    async with http.request(method, listener.url + path) as answer:
        assert answer.status == 404
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "target", ["/%zz", "/%", "/health%", "/%ff%fe", "/%00", "/..%2f..%2fetc/passwd", "/%e2%28%a1"]
)
async def test_bad_percent_escapes_are_refused(target: str, start: Any) -> None:
    listener = await start()

    status, _ = await exchange(listener.port, head(f"GET {target} HTTP/1.1"))

    assert status in {400, 404}


@pytest.mark.parametrize("query", ["?%zz", "?check=%ff", "?exclude=%", "?&&==", "?check=%00"])
async def test_bad_escapes_in_a_query_never_break_a_probe(query: str, start: Any) -> None:
    listener = await start()

    status, _ = await exchange(listener.port, head(f"GET /ready{query} HTTP/1.1"))

    assert status in {200, 400, 404}


@pytest.mark.parametrize(
    "request_",
    [
        head("GET /health HTTP/1.1", "X: " + "a" * 2**20),
        head("GET /" + "a" * 2**20 + " HTTP/1.1"),
        head("GET /health HTTP/1.1", *(f"X-{i}: 1" for i in range(1000))),
        head("GET /health HTTP/1.1", "No colon here"),
        head("GET /health HTTP/1.1", "Content-Length: many"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        head("BREW /health HTTP/1.1"),
    ],
    ids=["header", "line", "count", "colon", "length", "tls", "short", "method"],
)
async def test_a_malformed_request_is_refused_and_the_server_goes_on(
    request_: bytes, start: Any, http: ClientSession
) -> None:
    listener = await start()

    status, told = await exchange(listener.port, request_)

    assert status in {400, 431}
    lines, _, body = told.lower().partition(b"\r\n\r\n")
    assert b"\r\nserver: event-sidecar\r\n" in lines
    assert b"\r\ncache-control: no-store\r\n" in lines
    assert json.loads(body)["status"] == status
    assert b"aiohttp" not in told.lower()
    async with http.get(listener.url + "/health") as answer:
        assert answer.status == 200


async def test_a_malformed_request_is_logged_without_its_text(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    listener = await start()
    secret = "Authorization: Bearer correct-horse" + "x" * 9000

    await exchange(listener.port, head("GET /health HTTP/1.1", secret))

    assert "correct-horse" not in caplog.text
    assert "Traceback" not in caplog.text
    assert "Refused a malformed request (LineTooLong)" in caplog.text


async def test_a_failing_source_is_500_without_its_text_and_told_in_the_log(
    start: Any, http: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    def fall() -> dict[str, object]:
        raise RuntimeError("inner text")

    listener = await start(take_snapshot=fall)

    async with http.get(listener.url + "/api/status", headers=BEARER) as answer:
        assert answer.status == 500
        assert answer.headers["Server"] == "event-sidecar"
        assert "inner text" not in await answer.text()
    assert "RuntimeError: inner text" in caplog.text


async def test_the_report_is_json(start: Any, http: ClientSession) -> None:
    listener = await start()

    async with http.get(listener.url + "/config-report", headers=BEARER) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert await answer.json() == {"status": "ok", "findings": []}


async def test_metrics_come_in_the_format_that_is_accepted(start: Any, http: ClientSession) -> None:
    listener = await start()
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}

    async with http.get(listener.url + "/metrics") as answer:
        assert await answer.text() == "plain"
        assert answer.headers["Vary"] == "Accept"
    async with http.get(listener.url + "/metrics", headers=accept) as answer:
        assert await answer.text() == "openmetrics-text"
        assert answer.headers["Content-Type"] == "text/openmetrics-text; charset=utf-8"


async def test_a_taken_port_is_explained(start: Any, sources: Sources) -> None:
    listener = await start()

    with pytest.raises(UsageError, match=rf"port {listener.port} on 127\.0\.0\.1 is taken"):
        await serve(build(sources), "127.0.0.1", listener.port)


async def test_an_address_of_another_machine_is_explained(sources: Sources) -> None:
    with pytest.raises(UsageError, match="Set SIDECAR_HOST"):
        await serve(build(sources), "203.0.113.9", 0)
