import re
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from sidecar.web.status_handlers import POLICY
from sidecar.web.status_page import SECTIONS, parts, render

BEARER = {"Authorization": "Bearer correct-horse"}
EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"

values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["service", "verdict", "store", *(section.key for section in SECTIONS)])


class Outline(HTMLParser):
    """Remembers every tag with its attributes, and that each is closed in its turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def full(snapshot: dict[str, Any]) -> dict[str, Any]:
    [projection] = snapshot["projections"]
    history = {"lag_history": [None, 0.0, 14.0, None, 1.5, 0.25], "events_per_second": 12.5}
    held = {"pid": 99, "application_name": "psql", "state": "idle in transaction"}
    return snapshot | {
        "projections": [projection | history],
        "pools": [{"name": "shop", "process": "app", "used": 3, "idle": 2, "max": 20}],
        "store": {"held_by": [held | {"age_seconds": 12.0}]},
        "failures": [
            {"projection": "totals", "error_type": "KeyError", "command": "sidecar retry 7"}
        ],
    }


def test_the_page_says_what_is_in_the_snapshot(snapshot: dict[str, Any]) -> None:
    page = render(full(snapshot))

    assert "<title>shop: ready</title>" in page
    assert "Ready: 3 checks pass and 2 projections keep up." in page
    for text in ("postgres", "totals", "KeyError", "0.25", "worker-1", "SEC01", "4711", "12.5"):
        assert text in page
    assert "<code>sidecar retry 7</code>" in page
    assert "3 of 20 connections in use" in page
    assert "idle in transaction" in page


@pytest.mark.parametrize(
    ("rebuild", "progress", "shown"),
    [
        ("running", 0.254, '<span class="good">running</span>, 25%'),
        ("halted", 0.5, "halted</span>, 50%"),
    ],
)
def test_the_page_says_how_a_rebuild_goes(
    snapshot: dict[str, Any], rebuild: str, progress: float, shown: str
) -> None:
    [projection] = snapshot["projections"]
    rebuilt = projection | {"rebuild": rebuild, "progress": progress}

    assert shown in render(snapshot | {"projections": [rebuilt]})
    assert shown not in render(snapshot)


def test_the_sparkline_has_a_line_for_each_stretch_that_was_seen(snapshot: dict[str, Any]) -> None:
    page = render(full(snapshot))

    [svg] = re.findall(r"<svg .*?</svg>", page)
    assert 'aria-label="Lag of the last 15 minutes: 0.25 s now, 14 s at most"' in svg
    assert svg.count("<polyline") == 2
    points = [point.split(",") for point in re.findall(r"[\d.]+,[\d.-]+", svg)]
    assert all(0 <= float(x) <= 180 and 0 <= float(y) <= 24 for x, y in points)


@pytest.mark.parametrize(
    ("outcome", "ready", "tone", "title"),
    [
        ("pass", True, "verdict ready", "shop: ready"),
        ("warn", True, "verdict warned", "shop: ready, with warnings"),
        ("fail", True, "verdict failing", "shop: ready, failing"),
        ("fail", False, "verdict failing", "shop: not ready, failing"),
    ],
)
def test_the_tone_is_that_of_the_worst_check(
    snapshot: dict[str, Any],
    outcome: str,
    ready: bool,  # noqa: FBT001
    tone: str,
    title: str,
) -> None:
    page = render(snapshot | {"outcome": outcome, "ready": ready})

    assert f'<p class="{tone}">' in page
    assert f"<title>{title}</title>" in page
    assert f'data-title="{title}"' in page


def test_what_does_not_pass_stands_on_top(snapshot: dict[str, Any]) -> None:
    failing = {"name": "workers", "outcome": "fail", "reason": "workers.down", "detail": None}
    page = render(snapshot | {"trouble": [failing]})

    assert page.index("workers.down") < page.index('id="projections"')
    assert "What needs a look" not in render(snapshot)


def test_rows_that_need_a_person_come_first(snapshot: dict[str, Any]) -> None:
    [projection] = snapshot["projections"]
    standings = [
        ("well", "caught_up", 0),
        ("behind", "running", 0),
        ("paused", "paused", 0),
        ("lacking", "caught_up", 2),
        ("lost", "unowned", 0),
    ]
    page = render(
        snapshot
        | {
            "projections": [
                projection | {"name": name, "status": status, "dead_letters": letters}
                for name, status, letters in standings
            ]
        }
    )

    named = re.findall(r'role="rowheader">(\w+)</th>', page)[: len(standings)]
    assert named == ["lost", "lacking", "paused", "well", "behind"]


@pytest.mark.parametrize("status", ["caught_up", "running"])
def test_a_projection_with_open_dead_letters_is_not_green(
    snapshot: dict[str, Any], status: str
) -> None:
    [projection] = snapshot["projections"]
    lacking = parts(snapshot | {"projections": [projection | {"status": status}]})["projections"]
    whole = projection | {"status": status, "dead_letters": 0}

    assert f'<span class="soon">{status}, but with dead letters</span>' in lacking
    assert f'<span class="good">{status}</span>' not in lacking
    shown = parts(snapshot | {"projections": [whole]})["projections"]
    assert f'<span class="good">{status}</span>' in shown


def test_sections_without_rows_are_left_empty(snapshot: dict[str, Any]) -> None:
    page = render(snapshot | {"workers": [], "failures": []})

    assert "Workers" not in page
    assert "Recent failures" not in page


def test_everything_in_the_page_is_escaped(snapshot: dict[str, Any]) -> None:
    def poison(value: Any) -> Any:
        match value:
            case str():
                return EVIL
            case list():
                return [poison(one) for one in value]
            case dict():
                return {key: poison(one) for key, one in value.items()}
            case _:
                return value

    clean = Outline(render(full(snapshot)))
    dirty = Outline(render(poison(full(snapshot)) | {"phase": EVIL, "version": EVIL}))

    named = {"script", "img"}
    assert [tag for tag, _ in dirty.tags if tag in named] == ["script"]
    assert not [attrs for _, attrs in dirty.tags if any(name.startswith("on") for name in attrs)]
    # Words of state lose their tone, and nothing else changes.
    structure = [tag for tag, _ in clean.tags if tag != "span"]
    assert [tag for tag, _ in dirty.tags if tag != "span"] == structure


@given(snapshot=st.dictionaries(keys, values))
def test_any_snapshot_can_be_shown(snapshot: dict[str, Any]) -> None:
    page = render(snapshot)

    assert page.startswith("<!doctype html>")
    assert page.endswith("</body></html>")
    Outline(page)


def test_what_is_read_aloud_changes_only_with_the_words(snapshot: dict[str, Any]) -> None:
    heard = {
        parts(snapshot | {"verdict": f"Ready. Projection totals is {lag} s behind."})[
            "announcement"
        ]
        for lag in (2, 14)
    }

    assert heard == {"Ready. Projection totals is behind."}


def test_times_are_shown_to_the_second(snapshot: dict[str, Any]) -> None:
    page = render(snapshot | {"failures": [{"at": "2026-01-02T03:04:05.678901+00:00"}]})

    assert ">2026-01-02 03:04:05<" in page


def test_every_part_that_changes_has_its_place_on_the_page(snapshot: dict[str, Any]) -> None:
    ids = [attrs["id"] for _, attrs in Outline(render(snapshot)).tags if "id" in attrs]

    assert len(ids) == len(set(ids))
    assert parts(snapshot).keys() <= set(ids)


async def test_the_policy_forbids_everything_but_the_pages_own_files(
    start: Any, http: ClientSession
) -> None:
    listener = await start()

    async with http.get(listener.url + "/", headers=BEARER) as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Security-Policy"] == POLICY
        page = await answer.text()

    assert "unsafe" not in POLICY
    assert not re.search(r"<script(?! src=\"status.js\" defer></script>)|<style|style=", page)
    assert not re.search(r"\son\w+=|https?://", page)


@pytest.mark.parametrize(
    ("path", "kind"), [("/status.css", "text/css"), ("/status.js", "text/javascript")]
)
async def test_the_pages_files_are_served_to_those_who_may_see_it(
    path: str, kind: str, start: Any, http: ClientSession
) -> None:
    listener = await start()

    async with http.get(listener.url + path, headers=BEARER) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert not re.search(r"https?://|@import|url\(", await answer.text())
    async with http.get(listener.url + path) as answer:
        assert answer.status == 401


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
