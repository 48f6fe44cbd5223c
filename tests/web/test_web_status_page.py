import base64
import hashlib
import re
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from sidecar.web.status import POLICY
from sidecar.web.status_page import render

BEARER = {"Authorization": "Bearer correct-horse"}

values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["service", "verdict", "checks", "projections", "pool", "findings"])


def test_the_page_says_what_is_in_the_snapshot(snapshot: dict[str, Any]) -> None:
    page = render(snapshot)

    assert "<title>shop: ready</title>" in page
    assert "Ready: 3 checks pass and 2 projections keep up." in page
    for text in ("postgres", "totals", "KeyError", "0.25", "worker-1", "SEC01", "4711"):
        assert text in page


def test_sections_without_rows_are_left_out(snapshot: dict[str, Any]) -> None:
    page = render(snapshot | {"workers": [], "failures": []})

    assert "Workers" not in page
    assert "Recent failures" not in page


def test_everything_in_the_page_is_escaped(snapshot: dict[str, Any]) -> None:
    evil = "<script>alert(1)</script>\"'&"
    page = render(
        snapshot
        | {"service": evil, "verdict": evil, "version": evil, "phase": evil, "pool": {evil: evil}}
        | {"checks": [{"name": evil, "reason": [evil]}]}
    )

    assert "<script" not in page


@given(snapshot=st.dictionaries(keys, values))
def test_any_snapshot_can_be_shown(snapshot: dict[str, Any]) -> None:
    page = render(snapshot)

    assert page.startswith("<!doctype html>")
    assert page.endswith("</body></html>")


async def test_the_policy_forbids_everything_but_the_pages_own_style(
    start: Any, http: ClientSession
) -> None:
    listener = await start()

    async with http.get(listener.url + "/", headers=BEARER) as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Security-Policy"] == POLICY
        page = await answer.text()

    style = re.search("<style>(.*)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert not re.search(r"<script|style=|\son\w+=|https?://", page)


async def test_the_snapshot_is_json_for_machines(
    start: Any, http: ClientSession, snapshot: dict[str, Any]
) -> None:
    listener = await start()

    async with http.get(listener.url + "/api/status", headers=BEARER) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert await answer.json() == snapshot


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_a_number_that_json_does_not_know_becomes_null(
    number: float, start: Any, http: ClientSession
) -> None:
    listener = await start(take_snapshot=lambda: {"lag_seconds": number})

    async with http.get(listener.url + "/api/status", headers=BEARER) as answer:
        assert await answer.json() == {"lag_seconds": None}
