"""Each alert has a page, each page has the same four parts, and its commands exist."""

import re
from pathlib import Path

import pytest

from tests.dashboards import source

HEADINGS = ["What it means", "What to look at", "What to do", "How to verify"]
COMMANDS = {
    "check",
    "dead-letters discard",
    "dead-letters list",
    "dead-letters retry",
    "dead-letters show",
    "migrate",
    "projections list",
    "projections pause",
    "projections rebuild",
    "projections resume",
    "run",
    "secret",
    "serve",
    "serve --workers",
}
PROMETHEUS_MENU = {"Status", "Targets"}
PAGES = sorted(source.RUNBOOKS.glob("*.md"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {page.stem for page in PAGES} == source.alerts().keys()


@each_page
def test_a_page_has_its_title_and_the_four_headings_in_order(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS


@each_page
def test_no_part_of_a_page_is_empty(page: Path) -> None:
    parts = re.split(r"^## .+$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert all(part.strip() for part in parts[1:])


@each_page
def test_a_page_names_only_commands_that_exist(page: Path) -> None:
    commands = set(re.findall(r"`sidecar ([^`]+)`", page.read_text(encoding="utf-8")))
    assert commands
    assert commands <= COMMANDS


@each_page
def test_a_page_names_only_panels_and_rows_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    without_causes = re.sub(r"^- \*[^*]+\*", "", text, flags=re.MULTILINE)
    named = set(re.findall(r"\*([^*]+)\*", without_causes))
    titles = {panel["title"] for board in source.boards() for panel in board["panels"]}
    assert named <= titles | {board["title"] for board in source.boards()} | PROMETHEUS_MENU
