"""Each alert has a page, each page has the same four parts, and what it names exists.

That its commands work is shown where a program runs: tests/incidents/drills/test_runbook.py.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.dashboards import source
from tests.dashboards.command import run
from tests.dashboards.expression import metric_names
from tests.dashboards.runbook import ALL, GUIDES, PAGES, commands_of, query_of, text_of

HEADINGS = ["What it means", "What to look at", "What to do", "How to verify"]
TOKEN = '-H "Authorization: Bearer ${SIDECAR_TOKEN:-$(sidecar token)}"'
PROMETHEUS_MENU = {"Status", "Targets"}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
every_text = pytest.mark.parametrize("page", ALL, ids=lambda page: page.stem)


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {page.stem for page in PAGES} == source.alerts().keys()


def test_there_are_guides_for_what_no_alert_starts() -> None:
    assert {page.stem for page in ALL} - {page.stem for page in PAGES} == set(GUIDES)


@each_page
def test_a_page_has_its_title_and_the_four_headings_in_order(page: Path) -> None:
    text = text_of(page)
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS


@every_text
def test_no_part_of_a_page_is_empty(page: Path) -> None:
    parts = re.split(r"^## .+$", text_of(page), flags=re.MULTILINE)
    assert all(part.strip() for part in parts[1:])


@every_text
def test_a_page_has_a_command_to_copy(page: Path) -> None:
    assert commands_of(page)


def test_prometheus_parses_the_query_of_every_page(
    binary: Callable[[str], str], tmp_path: Path
) -> None:
    rules = [{"record": f"page:{page.stem}", "expr": query_of(page)} for page in PAGES]
    path = tmp_path / "pages.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run(binary("promtool"), "check", "rules", path)


@each_page
def test_a_query_asks_only_for_metrics_that_exist(page: Path) -> None:
    recorded = {rule["record"] for rule in source.rules() if "record" in rule}
    known = source.metrics().keys() | recorded | {"up", "ALERTS"}
    assert metric_names(query_of(page)) <= known


@every_text
def test_a_page_names_only_dashboards_panels_and_rows_that_exist(page: Path) -> None:
    without_causes = re.sub(r"^- \*[^*]+\*", "", text_of(page), flags=re.MULTILINE)
    named = {" ".join(one.split()) for one in re.findall(r"\*([^*]+)\*", without_causes)}
    titles = {panel["title"] for board in source.boards() for panel in board["panels"]}
    assert named <= titles | {board["title"] for board in source.boards()} | PROMETHEUS_MENU


@every_text
def test_a_page_leads_only_to_pages_that_exist(page: Path) -> None:
    text = text_of(page)
    assert set(re.findall(r"\]\(([^)]+)\)", text)) <= {one.name for one in ALL}
    assert set(re.findall(r"\bSidecar[A-Z]\w+", text)) <= source.alerts().keys()


@every_text
def test_a_command_brings_the_token_wherever_it_is_asked_for(page: Path) -> None:
    """Whether a process lives, whether traffic may come, and its numbers are open to all."""
    for command in commands_of(page):
        if command.startswith("curl ") and not re.search(r"/(health|metrics)$", command):
            assert "curl -i " in command or TOKEN in command, command
