"""README and docs say what is there: each link, command, name and path is looked up."""

import ast
import re
import shlex
import sys
import xml.etree.ElementTree as ET
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from unittest.mock import AsyncMock, MagicMock

import click
import pytest
from aiohttp.test_utils import make_mocked_request

import sidecar
from sidecar.cli import main
from sidecar.config import sidecar_file
from sidecar.config.secret import Secret
from sidecar.config.settings import declarations
from sidecar.errors import ConcurrencyError
from sidecar.events.publisher import EventPublisher
from sidecar.health.monitor import Monitor
from sidecar.health.probe_answers import ProbeAnswers
from sidecar.lint.rules import RULES
from sidecar.testing import InMemoryEventStore
from sidecar.web.app import Sources, build
from sidecar.web.openapi import openapi_document
from tests.dashboards import source
from tests.incidents.drills.table import DRILLS
from tests.markdown import (
    CHANGELOG,
    PAGES,
    README,
    ROOT,
    anchors,
    blocks,
    calls,
    commands,
    links,
    name_of,
    read,
    spans,
)
from tests.reference import page, read_part, tables

DEVELOP = ROOT / "docs" / "develop.md"
HTTP = page("http")
IMAGES = ROOT / "docs" / "images"
BANK = ROOT / "examples" / "bank"
# What a machine has, or what a page sets up before.
PROGRAMS = {"cd", "curl", "export", "helm", "make", "pip", "prometheus", "python", "uvicorn"}
FOLDERS = "sidecar|tests|docs|dashboards|otel|examples"
each_page = pytest.mark.parametrize("document", PAGES, ids=name_of)


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words behind `sidecar` call, and what is left of them."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def public_names() -> dict[str, set[str]]:
    """Return the names that a service can rely on, by module."""
    rows = re.findall(r"^\| `(sidecar\.[a-z._]+)` \| ([^|]*) \|", read(DEVELOP), re.MULTILINE)
    listed = {module: set(re.findall(r"`(\w+)`", names)) for module, names in rows}
    return {"sidecar": set(sidecar.__all__), **listed}


def table_paths() -> dict[str, str]:
    """Return who may ask, by path."""
    rows = re.findall(r"^\| (`/[^|]*) \|[^|]*\| (\w+) \|$", read(HTTP), re.MULTILINE)
    return {path: who for paths, who in rows for path in re.findall(r"`([^`]+)`", paths)}


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))


def statements(text: str) -> list[str]:
    """Return the statements of a module, but for imports, without comments and layout."""
    imports = (ast.Import, ast.ImportFrom)
    return [ast.unparse(each) for each in ast.parse(text).body if not isinstance(each, imports)]


@pytest.mark.parametrize("name", tables())
def test_a_generated_table_is_up_to_date(name: str) -> None:
    assert read_part(name) == tables()[name].strip(), "run: make docs"


def test_the_incidents_are_those_that_are_rehearsed() -> None:
    rows = re.findall(r"^\| (.*?) \| (.*?) \|", read_part("drills"), re.MULTILINE)

    assert rows[2:] == [(drill.name, drill.injected) for drill in DRILLS], "run: make drill"


@pytest.mark.parametrize("line", sorted({shlex.join(words) for words in calls("sidecar")}))
def test_a_shown_command_parses(line: str) -> None:
    command, left = find_command(shlex.split(line))

    assert not isinstance(command, click.Group)
    command.make_context("sidecar", list(left))


@each_page
def test_a_command_within_a_text_exists_with_its_options(document: Path) -> None:
    for span in spans(document):
        if span.startswith("sidecar "):
            command, left = find_command(span.split()[1:])
            options = {name for each in command.params for name in each.opts}
            given = {word.partition("=")[0] for word in left if word.startswith("-")}
            assert given <= options | {"-h", "--help"}, span


def test_the_commands_that_cure_are_all_shown() -> None:
    shown = {" ".join(words[:2]) for words in calls("sidecar")}

    for group in ("projections", "dead-letters"):
        command = main.commands[group]
        assert isinstance(command, click.Group)
        assert {f"{group} {name}" for name in command.commands} <= shown


def test_every_make_target_that_is_shown_exists_and_all_are_shown() -> None:
    within = {span.split()[1] for each in PAGES for span in spans(each) if span[:5] == "make "}

    assert {words[0] for words in calls("make")} == make_targets() - {"help"}
    assert within <= make_targets()


@each_page
def test_every_program_of_a_block_is_known(document: Path) -> None:
    for program, *words in commands(document):
        assert program in PROGRAMS | {"sidecar"}, program
        if program == "python":
            assert words[0] == "-m"
            assert find_spec(words[1]), words[1]
        for word in words:
            if re.match(rf"({FOLDERS})/", word):
                assert (ROOT / word.partition("::")[0]).exists(), word


def test_every_address_that_is_asked_is_a_path_of_the_sidecar() -> None:
    asked = [word for words in calls("curl") for word in words if ":8686/" in word]

    assert asked
    assert {word.partition(":8686")[2].partition("?")[0] for word in asked} <= table_paths().keys()


@each_page
def test_a_python_block_compiles_and_imports_public_names_only(document: Path) -> None:
    text = "".join(block.text for block in blocks("python", (document,)))
    compile(text, str(document), "exec")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            assert not [each.name for each in node.names if each.name.startswith("sidecar.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sidecar"):
            assert {each.name for each in node.names} <= public_names()[node.module or ""]


@pytest.mark.parametrize("module", public_names())
def test_what_a_service_can_rely_on_is_there(module: str) -> None:
    names = public_names()[module]

    assert names
    assert [name for name in names if not hasattr(import_module(module), name)] == []


def test_the_first_example_stands_in_the_examples() -> None:
    shown = [each for block in blocks("python", (README,)) for each in statements(block.text)]
    there = {each for path in BANK.glob("*.py") for each in statements(path.read_text("utf-8"))}

    assert len(shown) >= 8
    assert [each for each in shown if each not in there] == []


def run_block(words: str, monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """Run the Python block with these words as a module that other blocks import."""
    (block,) = (each for each in blocks("python", (DEVELOP,)) if words in each.text)
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(block.text, vars(module))
    return module


def test_the_shown_shop_is_a_publisher_with_a_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = run_block("class OrderTotals", monkeypatch, "shop")
    publisher = shop.publisher

    assert isinstance(publisher, EventPublisher)
    assert [each.name for each in publisher.projections] == ["order_totals"]
    assert publisher.projections[0].wants_connection
    assert publisher.types.encode(shop.OrderPlaced("Ada", 1200))[0] == "OrderPlaced"


async def test_the_shown_append_is_testable_without_a_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = run_block("class OrderTotals", monkeypatch, "shop")
    application = run_block("async def place_order", monkeypatch, "application")
    pool, store = MagicMock(), InMemoryEventStore(shop.types)
    connection = pool.acquire.return_value.__aenter__.return_value
    connection.transaction = MagicMock()
    connection.fetchval = AsyncMock(return_value=7)

    assert await application.place_order(pool, store, shop.OrderPlaced("Ada", 1200)) == 7
    (record,) = await store.read_stream("order-7")
    assert store.decode(record) == shop.OrderPlaced("Ada", 1200)
    with pytest.raises(ConcurrencyError):
        await application.place_order(pool, store, shop.OrderPlaced("Ada", 1200))


def test_the_shown_rules_of_a_project_are_accepted(tmp_path: Path) -> None:
    (block,) = blocks("toml")
    (tmp_path / "sidecar.toml").write_text(block.text, encoding="utf-8")

    rules, mistakes = sidecar_file.read(tmp_path)

    assert mistakes == ()
    assert rules.severity.keys() | rules.silenced.keys() <= {rule.id for rule in RULES}


async def test_the_table_of_paths_has_every_route_and_who_may_ask() -> None:
    async def collect(accept: str) -> tuple[bytes, str]:
        return b"", accept

    sources = Sources(
        answers=ProbeAnswers(Monitor([])),
        collect_metrics=collect,
        take_report=lambda: {"status": "ok"},
        take_snapshot=dict,
        service="shop",
        version="0",
        token=Secret("correct-horse"),
    )
    pages = build(sources)._pages
    answers = {path: await page(make_mocked_request("GET", path)) for path, page in pages.items()}
    who = {path: "token" if got.status == 401 else "all" for path, got in answers.items()}

    assert table_paths() == who


def test_the_document_of_paths_tells_the_same_as_the_table() -> None:
    document = openapi_document("0")["paths"]
    who = {path: "token" if "security" in each["get"] else "all" for path, each in document.items()}

    assert table_paths() == who


@pytest.mark.parametrize("document", [*PAGES, CHANGELOG], ids=name_of)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for link in links(document):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_reached_from_the_readme() -> None:
    reached, open_pages = {README}, [README]
    while open_pages:
        document = open_pages.pop()
        below = {(document.parent / link.partition("#")[0]).resolve() for link in links(document)}
        news = (below & set(PAGES)) - reached
        reached |= news
        open_pages += news

    assert {name_of(each) for each in PAGES} == {name_of(each) for each in reached}


@each_page
def test_a_variable_metric_alert_or_finding_that_is_named_exists(document: Path) -> None:
    variables = {each.name for each in declarations()}
    known = {rule.id for rule in RULES}
    metrics = source.metrics().keys() | {each.prometheus for each in source.metrics().values()}
    for span in spans(document):
        if re.fullmatch(r"(SIDECAR|DB_POOL)_[A-Z_]*[A-Z]", span):
            assert span in variables or span.removesuffix("_FILE") in variables, span
        elif re.fullmatch(r"Sidecar[A-Z]\w+", span):
            assert span in source.alerts(), span
        elif re.fullmatch(r"(APP|DB|ENV|OPS|SEC)\d\d", span):
            assert span in known, span
        elif re.fullmatch(r"sidecar_\w+", span):
            assert span in metrics, span


@each_page
def test_a_path_of_the_repository_that_is_named_exists(document: Path) -> None:
    for span in spans(document):
        if re.fullmatch(rf"({FOLDERS})/[\w./*-]*", span):
            assert list(ROOT.glob(span)), span


def test_the_readme_is_short_and_its_pictures_are_small() -> None:
    assert README.stat().st_size <= 12 * 1024
    assert {image.name for image in IMAGES.iterdir()} <= {Path(link).name for link in links(README)}
    assert all(image.stat().st_size < 120_000 for image in IMAGES.iterdir())
    assert all(ET.parse(image).getroot().tag.endswith("svg") for image in IMAGES.glob("*.svg"))


def test_the_changelog_tells_of_this_version() -> None:
    assert f"\n## [{sidecar.__version__}] - " in read(CHANGELOG)
