"""Who sees more than a status word: whoever has the token, and nobody for where they call from."""

import asyncio
import re
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, CookieJar

from tests.incidents.patience import eventually
from tests.incidents.program import Ended, Program, finish, serve
from tests.incidents.tool import find_tool
from tests.port import free_port

# As in nginx's own beginner's guide: no header is set, and Host becomes the address behind.
CONFIGURATION = """
worker_processes 1; daemon off; master_process off; pid {folder}/pid; error_log {folder}/error;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {behind}; }}
    location /ops/ {{ proxy_pass {behind}/; }}
  }}
}}
"""
GUARDED = ["/api/status", "/", "/openapi.json", "/events", "/status.css", "/status.js"]
WORDS = {"/config-report": {"ok", "warnings", "invalid"}, "/ready": {"pass", "warn"}}
HOSTS = [{}, {"Host": "localhost"}, {"Host": "127.0.0.1:8686"}]
EVIL = {"Origin": "https://evil.example"}


@asynccontextmanager
async def nginx(folder: Path, behind: str) -> AsyncIterator[str]:
    """Run nginx as it comes in front of an address."""
    port, file = free_port(), folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, behind=behind))
    process = await asyncio.create_subprocess_exec(
        find_tool("nginx"), "-c", file, "-e", folder / "error"
    )

    async def listens() -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", port)) == 0

    try:
        await eventually(listens, 10.0)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def test_nobody_sees_guarded_pages_without_the_token_that_is_made_at_the_first_start(
    tmp_path: Path, database: str
) -> None:
    async with (
        serve(tmp_path, database, CORS_ORIGINS="*") as program,
        nginx(tmp_path, program.address) as front,
        ClientSession() as stranger,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser,
    ):
        await eventually(program.is_ready)
        await expect_closed(stranger, front)
        await expect_closed(stranger, program.address)
        file = tmp_path / ".sidecar" / "token"
        token = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert token not in program.output()
        assert "ticket" not in program.output()

        assert command(tmp_path, "token").out.strip() == token
        link = command(tmp_path, "token", "--link").out.strip()
        assert token not in link
        path = link.removeprefix("http://127.0.0.1:8686")
        async with browser.get(f"{front}/ops{path}") as answer:
            assert (answer.status, str(answer.url)) == (200, f"{front}/ops/")
        assert await status(browser, f"{front}/ops/api/status") == 200

        await expect_rotation(program, tmp_path, browser, f"{front}/ops/")


async def expect_closed(stranger: ClientSession, address: str) -> None:
    for host in HOSTS:
        for path in GUARDED:
            async with stranger.get(address + path, headers=host | EVIL) as answer:
                assert answer.status == 401, path
        for path, words in WORDS.items():
            async with stranger.get(address + path, headers=host | EVIL) as answer:
                told = await answer.json(content_type=None)
                assert told.keys() == {"status"}
                assert told["status"] in words
                assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def expect_rotation(
    program: Program, folder: Path, browser: ClientSession, page: str
) -> None:
    before = program.bearer()
    fresh = command(folder, "token", "--rotate").out.strip()
    await program.line("sidecar.token.rotated")
    assert (await program.get("/", **before)).status == 401
    assert await status(browser, page) == 401
    assert (await program.get("/", Authorization=f"Bearer {fresh}")).status == 200
    assert fresh not in program.output()


async def status(browser: ClientSession, url: str) -> int:
    async with browser.get(url) as answer:
        return answer.status


def command(folder: Path, *arguments: str) -> Ended:
    ended = finish(folder, *arguments, ENVIRONMENT="development")
    assert (ended.code, ended.err) == (0, "")
    return ended


def test_production_makes_no_token_and_refuses_to_listen_on_the_network_without_one(
    tmp_path: Path,
) -> None:
    ended = finish(tmp_path, "token", ENVIRONMENT="production")
    assert (ended.code, ended.out) == (2, "")
    assert re.search(r"No token is made in production\. Set SIDECAR_TOKEN", ended.err)
    checked = finish(tmp_path, "check", ENVIRONMENT="production", SIDECAR_HOST="0.0.0.0")
    assert checked.code == 78
    assert re.search(r"REFUSE +OPS01 SIDECAR_TOKEN", checked.out)
    assert not (tmp_path / ".sidecar").exists()


def test_a_token_that_was_configured_is_never_printed(tmp_path: Path) -> None:
    configured = {"SIDECAR_TOKEN": "c4nary-t0ken-7f2c7d41b8e603a5c4d7f1928"}
    for arguments in ([], ["--rotate"]):
        ended = finish(tmp_path, "token", *arguments, **configured)
        assert (ended.code, ended.out) == (2, "")
        assert "SIDECAR_TOKEN" in ended.err
    linked = finish(tmp_path, "token", "--link", SIDECAR_HOST="0.0.0.0", **configured)
    assert linked.out.startswith("http://127.0.0.1:8686/login?ticket=")
    assert "c4nary" not in linked.out + linked.err
    other = finish(tmp_path, "token", "--link", "--port", "9000", **configured)
    assert other.out.startswith("http://127.0.0.1:9000/login?ticket=")
