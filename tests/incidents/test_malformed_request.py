import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from tests.incidents.ledger import Ledger
from tests.incidents.program import Program, ready_service

PATHS = (
    "/health",
    "/livez",
    "/ready",
    "/readyz",
    "/startup",
    "/startupz",
    "/config-report",
    "/metrics",
    "/api/status",
    "/",
)
HOST = b"Host: localhost\r\nConnection: close\r\n"
END = b" HTTP/1.1\r\n" + HOST + b"\r\n"
MEGABYTE = b"x" * 1_000_000
REFUSED = {
    b"GET /nothing-here" + END: {404},
    b"GET /../../etc/passwd" + END: {404},
    b"GET /" + b"a" * 5_000 + END: {404},
    b"POST /health" + END: {405},
    b"DELETE /metrics" + END: {405},
    b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc": {405},
    b"GET /%zz" + END: {400, 404},
    b"GET /%ff%fe%00" + END: {400, 404},
    b"GET /health?check=%zz%ff" + END: {400, 404},
    b"GET /" + MEGABYTE + END: {400, 414, 431},
    b"GET /health HTTP/1.1\r\n" + HOST + b"X-Long: " + MEGABYTE + b"\r\n\r\n": {400, 431},
    b"GET /health HTTP/1.1\r\n" + HOST + b"X-Many: y\r\n" * 90_000 + b"\r\n": {400, 431},
    b"GET /health HTTP/1.1\r\nContent-Length: -1\r\n" + HOST + b"\r\n": {400},
    b"GET /health HTTP/9.9\r\n" + HOST + b"\r\n": {400, 505},
    b"NONSENSE\r\n\r\n": {400},
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": {400},
}


async def talk(program: Program, request: bytes) -> int:
    """Send bytes and return the status of what comes back; 0 for nothing."""
    address = urlsplit(program.address)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        async with asyncio.timeout(5.0):
            writer.write(request)
            await writer.drain()
            line = await reader.readline()
    finally:
        writer.close()
    words = line.split()
    return int(words[1]) if len(words) > 1 else 0


async def test_malformed_requests_are_refused_and_the_program_goes_on(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    async with ready_service(tmp_path, database) as program:
        pids = program.family.members().keys()
        wrong = []
        for request, allowed in REFUSED.items():
            status = await talk(program, request)
            if status not in allowed:
                wrong.append((request[:60], status, allowed))
            assert await program.is_ready()
        assert wrong == []
        assert program.family.members().keys() == pids
        assert [line for line in program.lines() if line["level"] in {"ERROR", "CRITICAL"}] == []
        assert "Traceback" not in program.output()
        await ledger.pay("after", 3)
        await ledger.expect_equal()


async def test_an_unfinished_request_holds_nobody_up(tmp_path: Path, database: str) -> None:
    async with ready_service(tmp_path, database) as program:
        address = urlsplit(program.address)
        writers = []
        for _ in range(100):
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: loc")
            writers.append(writer)
        answer = await program.get("/health")
        assert answer.status == 200
        assert answer.seconds < 1.0
        program.process.terminate()
        assert await program.wait(5.0) == 0
        for writer in writers:
            writer.close()


async def test_head_is_answered_like_get_on_each_path(tmp_path: Path, database: str) -> None:
    async with ready_service(tmp_path, database) as program:
        for path in PATHS:
            head, get = await program.get(path, "HEAD"), await program.get(path)
            assert (head.status, get.status, path) == (200, 200, path)
            assert head.text == ""
            assert head.headers["Content-Type"] == get.headers["Content-Type"]
            assert "no-store" in get.headers["Cache-Control"]
