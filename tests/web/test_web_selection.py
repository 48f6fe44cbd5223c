from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession

from sidecar.health.outcome import failed, warned

BEARER = {"Authorization": "Bearer correct-horse"}


async def test_verbose_is_plain_text_with_one_line_a_check(
    start: Any, http: ClientSession, tell: Any
) -> None:
    tell(postgres=failed("postgres.unreachable"), disk=warned("disk.low"))
    listener = await start()

    async with http.get(listener.url + "/readyz?verbose", headers=BEARER) as answer:
        assert answer.status == 503
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert (await answer.text()).splitlines() == [
            "[-]postgres failed: postgres.unreachable",
            "[+]disk warning: disk.low",
            "reason: disk.low",
            "reason: postgres.unreachable",
            "readyz check failed",
        ]


async def test_verbose_tells_failures_that_do_not_count_and_answers_that_are_too_old(
    start: Any, http: ClientSession, tell: Any, clock: SimpleNamespace
) -> None:
    clock.mono = 100.0
    tell(disk=failed("disk.full"))
    listener = await start()

    async with http.get(listener.url + "/readyz?verbose", headers=BEARER) as answer:
        lines = (await answer.text()).splitlines()

    assert lines[:2] == [
        "[-]postgres unknown: postgres.stale",
        "[-]disk failed: disk.full (not critical)",
    ]


async def test_verbose_hides_checks_from_the_public(start: Any, http: ClientSession) -> None:
    listener = await start()

    async with http.get(listener.url + "/ready?verbose") as answer:
        assert await answer.text() == "pass\n"


async def test_one_check_can_be_asked_for_by_name(
    start: Any, http: ClientSession, tell: Any
) -> None:
    tell(disk=failed("disk.full"))
    listener = await start()

    async with http.get(listener.url + "/ready?check=postgres", headers=BEARER) as answer:
        assert answer.status == 200
        assert list((await answer.json(content_type=None))["checks"]) == ["postgres:status"]
    async with http.get(listener.url + "/ready?check=disk") as answer:
        assert answer.status == 503


@pytest.mark.parametrize("path", ["/ready", "/readyz"])
async def test_a_group_of_checks_can_be_asked_for(
    path: str, start: Any, http: ClientSession, tell: Any
) -> None:
    tell(postgres=failed("postgres.unreachable"))
    listener = await start()

    async with http.get(f"{listener.url}{path}?group=storage", headers=BEARER) as answer:
        assert answer.status == 503
        checks = (await answer.json(content_type=None))["checks"]
    assert list(checks) == ["postgres:status", "disk:status"]
    assert checks["disk:status"][0]["groups"] == ["storage"]
    async with http.get(f"{listener.url}{path}?group=storage&exclude=postgres") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "query",
    ["check=nonsense", "check=loop", "check=postgres&check=nonsense", "group=nonsense", "group="],
)
async def test_a_check_that_the_probe_does_not_have_is_not_found(
    query: str, start: Any, http: ClientSession
) -> None:
    listener = await start()

    async with http.get(f"{listener.url}/ready?{query}") as answer:
        assert answer.status == 404
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_an_excluded_check_is_left_out_and_unknown_names_are_noted(
    start: Any, http: ClientSession, tell: Any
) -> None:
    tell(postgres=failed("postgres.unreachable"))
    listener = await start()
    url = listener.url + "/ready?exclude=postgres&exclude=nonsense"

    async with http.get(url, headers=BEARER) as answer:
        assert answer.status == 200
        body = await answer.json(content_type=None)
    assert list(body["checks"]) == ["disk:status"]
    assert body["notes"] == ["no check is named nonsense"]
    async with http.get(url + "&verbose", headers=BEARER) as answer:
        assert "warning: no check is named nonsense" in await answer.text()
    async with http.get(url) as answer:
        assert answer.status == 200
