import time
from typing import Any

import pytest
from aiohttp import ClientSession, DummyCookieJar

from sidecar.web.session import TICKET_SECONDS, login_link, make_ticket

TOKEN = "correct-horse"


@pytest.fixture
async def stranger() -> Any:
    async with ClientSession(cookie_jar=DummyCookieJar()) as session:
        yield session


async def test_a_link_opens_the_page_and_leaves_neither_token_nor_ticket_in_its_address(
    start: Any, browser: ClientSession
) -> None:
    listener = await start()
    link = login_link(listener.url, TOKEN, time.time())
    assert TOKEN not in link

    async with browser.get(link) as answer:
        assert (answer.status, str(answer.url)) == (200, f"{listener.url}/")
        [before] = answer.history
        assert before.headers["Cache-Control"] == "no-store"
        cookie = before.headers["Set-Cookie"]
        assert "; HttpOnly; SameSite=Strict" in cookie
        assert TOKEN not in cookie
    for path in ("/", "/api/status", "/config-report", "/status.css", "/openapi.json"):
        async with browser.get(listener.url + path) as answer:
            assert answer.status == 200
    async with browser.get(listener.url + "/ready") as answer:
        assert "checks" in await answer.json(content_type=None)


@pytest.mark.parametrize(
    "ticket",
    [
        "",
        TOKEN,
        make_ticket("another-token", time.time()),
        make_ticket(TOKEN, time.time() - TICKET_SECONDS - 1),
        make_ticket(TOKEN, time.time() + 60).replace(".", "0."),
        "9999999999." + make_ticket(TOKEN, time.time()).partition(".")[2],
        make_ticket(TOKEN, time.time()) + "0",
        "." * 200,
        "\udcff",
        "²²²." + "0" * 64,
    ],
    ids=[
        *("empty", "token", "other-token", "ended", "later-end", "far-end", "longer"),
        *("dots", "bytes", "digits"),
    ],
)
async def test_a_link_that_ended_or_was_forged_opens_nothing(
    ticket: str, start: Any, stranger: ClientSession
) -> None:
    listener = await start()

    async with stranger.get(
        f"{listener.url}/login", params={"ticket": ticket.encode(errors="replace").decode()}
    ) as answer:
        assert answer.status == 410
        assert "Set-Cookie" not in answer.headers
        assert "sidecar token --link" in await answer.text()


async def test_a_rotated_token_ends_links_and_browsers_sessions(
    start: Any, browser: ClientSession, stranger: ClientSession
) -> None:
    tokens = ["battery-staple", TOKEN]

    class Rotating:
        def reveal(self) -> str:
            return tokens[-1]

    listener = await start(token=Rotating())
    link = login_link(listener.url, TOKEN, time.time())
    async with browser.get(link) as answer:
        assert answer.status == 200
    tokens.pop()

    async with browser.get(listener.url + "/") as answer:
        assert answer.status == 401
    async with stranger.get(link) as answer:
        assert answer.status == 410


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [
        ("same-origin", "cors", 200),
        ("none", "navigate", 200),
        ("same-site", "navigate", 200),
        ("same-site", "no-cors", 401),
        ("cross-site", "no-cors", 401),
    ],
)
async def test_pages_on_other_ports_of_this_machine_load_nothing_with_a_browsers_cookie(
    site: str, mode: str, status: int, start: Any, browser: ClientSession
) -> None:
    listener = await start()
    async with browser.get(login_link(listener.url, TOKEN, time.time())):
        pass

    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    async with browser.get(listener.url + "/api/status", headers=headers) as answer:
        assert answer.status == status


async def test_the_cookie_of_one_sidecar_says_nothing_to_another(
    start: Any, browser: ClientSession
) -> None:
    """Browsers send the cookies of a host to all its ports."""

    class Other:
        def reveal(self) -> str:
            return "battery-staple"

    first, second = await start(), await start(token=Other())
    async with browser.get(login_link(first.url, TOKEN, time.time())) as answer:
        assert answer.status == 200

    async with browser.get(second.url + "/") as answer:
        assert answer.status == 401
    async with browser.get(login_link(second.url, "battery-staple", time.time())) as answer:
        assert answer.status == 200
    async with browser.get(first.url + "/") as answer:
        assert answer.status == 200
