import re
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import ClientSession, encode_basic_auth
from aiohttp.test_utils import make_mocked_request

from sidecar.web.auth import is_direct_loopback

GUARDED = ["/config-report", "/api/status", "/", "/openapi.json", "/status.css", "/status.js"]
OPEN = ["/health", "/ready", "/startup", "/metrics"]


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
async def test_without_a_configured_token_loopback_is_admitted(
    path: str, start: Any, http: ClientSession
) -> None:
    listener = await start(token=None)

    async with http.get(listener.url + path) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"X-Real-IP": "203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"Host": "rebound.example.com:8686"},
        {"Host": "127.0.0.1.example.com"},
        {"Host": "localhost.example.com"},
    ],
    ids=lambda header: "-".join(next(iter(header.items()))),
)
async def test_without_a_token_proxies_and_rebound_names_are_refused(
    path: str, header: dict[str, str], start: Any, http: ClientSession
) -> None:
    listener = await start(token=None)

    async with http.get(listener.url + path, headers=header) as answer:
        assert answer.status == 403
        assert "SIDECAR_TOKEN" in (await answer.json(content_type=None))["detail"]
    async with http.get(listener.url + "/ready", headers=header) as answer:
        assert await answer.json(content_type=None) == {"status": "pass"}


async def test_without_a_token_loopback_sees_the_checks(start: Any, http: ClientSession) -> None:
    listener = await start(token=None)

    async with http.get(listener.url + "/ready") as answer:
        assert "checks" in await answer.json(content_type=None)


@pytest.mark.parametrize(
    ("peer", "host", "expected"),
    [
        ("127.0.0.1", "localhost:8686", True),
        ("127.8.9.10", "127.0.0.1", True),
        ("::1", "[::1]:8686", True),
        ("::ffff:127.0.0.1", "LOCALHOST", True),
        ("203.0.113.9", "localhost", False),
        ("::ffff:203.0.113.9", "localhost", False),
        ("10.0.0.1", "10.0.0.1", False),
        ("fe80::1", "[::1]", False),
        ("127.0.0.1", "[::2]:8686", False),
        ("127.0.0.1", "", False),
    ],
)
def test_only_a_loopback_peer_under_a_loopback_name_is_direct(
    peer: str, host: str, *, expected: bool
) -> None:
    transport = Mock()
    transport.get_extra_info.side_effect = lambda key, default=None: (
        (peer, 4711) if key == "peername" else default
    )
    request = make_mocked_request("GET", "/", headers={"Host": host}, transport=transport)

    assert is_direct_loopback(request) is expected


def test_a_peer_without_an_address_is_not_direct() -> None:
    transport = Mock()
    transport.get_extra_info.return_value = None
    request = make_mocked_request("GET", "/", headers={"Host": "localhost"}, transport=transport)

    assert not is_direct_loopback(request)
