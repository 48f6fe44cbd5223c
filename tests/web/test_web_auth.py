import re
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, encode_basic_auth

BEARER = {"Authorization": "Bearer correct-horse"}
GUARDED = ["/api/status", "/", "/openapi.json", "/status.css", "/status.js"]
OPEN = ["/health", "/ready", "/startup", "/metrics", "/config-report"]


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "offered",
    [
        "",
        "Bearer wrong",
        "Bearer",
        "Bearer ",
        "Basic correct-horse",
        "Basic",
        "Basic Y29ycmVjdC1ob3JzZQ==",
        encode_basic_auth("correct-horse", "wrong"),
        encode_basic_auth("sidecar", "côrrect", "latin1"),
        "correct-horse",
        "Bearer correct-horsf",
        "Bearer correct-horse extra",
        "Bearer côrrect",
    ],
)
async def test_without_the_right_token_a_guarded_path_is_401(
    path: str, offered: str, start: Any, http: ClientSession
) -> None:
    listener = await start()
    headers = {"Authorization": offered} if offered else {}

    async with http.get(listener.url + path, headers=headers) as answer:
        assert answer.status == 401
        schemes = re.findall(r'(\w+) realm="sidecar"', answer.headers["WWW-Authenticate"])
        assert schemes == ["Basic", "Bearer"]
        assert "correct-horse" not in await answer.text()


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "offered",
    [
        "Bearer correct-horse",
        "bearer correct-horse",
        "BEARER correct-horse",
        encode_basic_auth("", "correct-horse"),
        encode_basic_auth("anybody", "correct-horse"),
    ],
)
async def test_the_token_opens_a_guarded_path(
    path: str, offered: str, start: Any, http: ClientSession
) -> None:
    listener = await start()
    headers = {"Authorization": offered}

    async with http.get(listener.url + path, headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
    async with http.head(listener.url + path, headers=headers) as answer:
        assert answer.status == 200
        assert await answer.read() == b""


@pytest.mark.parametrize("path", OPEN)
async def test_open_paths_ask_for_nothing(path: str, start: Any, http: ClientSession) -> None:
    listener = await start()

    async with http.get(listener.url + path) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "header",
    [
        {},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Host": "localhost"},
        {"True-Client-IP": "127.0.0.1"},
        {"Host": "localhost"},
        {"Host": "rebound.example.com:8686"},
        {"Authorization": "Bearer None"},
        {"Cookie": "sidecar=; sidecar_00000000="},
    ],
    ids=lambda header: "-".join(next(iter(header.items()), ["none"])),
)
async def test_without_a_token_nobody_is_let_in_wherever_they_call_from(
    path: str, header: dict[str, str], start: Any, http: ClientSession
) -> None:
    listener = await start(token=None)

    async with http.get(listener.url + path, headers=header) as answer:
        assert answer.status == 403
        assert "SIDECAR_TOKEN" in (await answer.json(content_type=None))["detail"]
    for probe in ("/ready", "/health"):
        async with http.get(listener.url + probe, headers=header) as answer:
            assert await answer.json(content_type=None) == {"status": "pass"}


async def test_the_report_tells_everybody_its_status_word_and_the_rest_to_the_token(
    start: Any, http: ClientSession
) -> None:
    report = {"status": "refused", "findings": [{"id": "SEC02"}]}
    listener = await start(take_report=lambda: report)

    async with http.get(listener.url + "/config-report") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "refused"})
    async with http.get(listener.url + "/config-report", headers=BEARER) as answer:
        assert await answer.json() == report


async def test_a_token_that_changes_is_heeded_at_once(start: Any, http: ClientSession) -> None:
    token = SimpleNamespace(reveal=lambda: "correct-horse")
    listener = await start(token=token)

    async with http.get(listener.url + "/", headers=BEARER) as answer:
        assert answer.status == 200
    token.reveal = lambda: "battery-staple"
    async with http.get(listener.url + "/", headers=BEARER) as answer:
        assert answer.status == 401
