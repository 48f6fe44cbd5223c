"""The README tells what is there. Run this file to write its tables again."""

import ast
import re
import shlex
import sys
from importlib import import_module
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
from sidecar.errors import ConcurrencyError
from sidecar.events.publisher import EventPublisher
from sidecar.health.monitor import Monitor
from sidecar.health.probe_answers import ProbeAnswers
from sidecar.lint import reference
from sidecar.lint.rules import RULES
from sidecar.telemetry.contract import INSTRUMENTS
from sidecar.testing import InMemoryEventStore
from sidecar.web.app import Sources, build
from sidecar.web.openapi import openapi_document
from tests.benchmarks.kept import kept_table
from tests.incidents.drills.table import DRILLS
from tests.readme import README, read_part, write_part

ROOT = Path(__file__).parents[2]
CHANGELOG = ROOT / "CHANGELOG.md"
METRIC_HEADER = ("Name", "Type", "Labels", "Meaning")


def metric_rows() -> list[tuple[str, ...]]:
    return [
        (
            each.prometheus_name,
            # Prometheus knows no counter that goes down.
            "gauge" if each.kind == "updowncounter" else each.kind.value,
            ", ".join(f"`{label.replace('.', '_')}`" for label in each.attributes) or "-",
            each.description,
        )
        for each in sorted(INSTRUMENTS, key=lambda each: each.prometheus_name)
    ]


def tables() -> dict[str, str]:
    return {
        "variables": reference.markdown(reference.VARIABLE_HEADER, reference.variable_rows()),
        "rules": reference.markdown(reference.RULE_HEADER, reference.rule_rows()),
        "metrics": reference.markdown(METRIC_HEADER, metric_rows()),
        "bench": kept_table(),
    }


def write_tables() -> None:
    for name, table in tables().items():
        write_part(name, table)


def read() -> str:
    return README.read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", read(), re.MULTILINE | re.DOTALL)


def shell_lines(program: str) -> list[list[str]]:
    """Give the words after `program` of each line that calls it, variables before it left out."""
    lines = [
        shlex.split(line, comments=True) for text in fenced("sh") for line in text.splitlines()
    ]
    calls = []
    for words in lines:
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words and words[0] == program:
            calls.append(words[1:])
    return calls


def public_names() -> dict[str, set[str]]:
    """Give the names that a service can rely on, by module."""
    rows = re.findall(r"^\| `(sidecar\.[a-z._]+)` \| ([^|]*) \|", read(), re.MULTILINE)
    told = {module: set(re.findall(r"`(\w+)`", names)) for module, names in rows}
    return {"sidecar": set(sidecar.__all__), **told}


def table_paths() -> dict[str, str]:
    """Give who may ask, by path."""
    rows = re.findall(r"^\| (`/[^|]*) \|[^|]*\| (\w+) \|$", read(), re.MULTILINE)
    return {path: who for paths, who in rows for path in re.findall(r"`([^`]+)`", paths)}


@pytest.mark.parametrize("name", ["variables", "rules", "metrics", "bench"])
def test_a_generated_table_is_up_to_date(name: str) -> None:
    assert read_part(name) == tables()[name].strip(), (
        "run: .venv/bin/python tests/unit/test_readme.py"
    )


def test_the_incidents_are_those_that_are_rehearsed() -> None:
    rows = re.findall(r"^\| (.*?) \| (.*?) \|", read_part("drills"), re.MULTILINE)

    assert rows[2:] == [(drill.name, drill.injected) for drill in DRILLS], "run: make drill"


@pytest.mark.parametrize("words", shell_lines("sidecar"), ids=" ".join)
def test_a_shown_command_parses(words: list[str]) -> None:
    command: click.Command = main
    name = "sidecar"
    while isinstance(command, click.Group):
        name, *words = words
        assert name in command.commands
        command = command.commands[name]

    command.make_context(name, list(words))


def test_the_commands_that_cure_are_all_shown() -> None:
    shown = {" ".join(words[:2]) for words in shell_lines("sidecar")}

    for group in ("projections", "dead-letters"):
        command = main.commands[group]
        assert isinstance(command, click.Group)
        assert {f"{group} {name}" for name in command.commands} <= shown


def test_every_make_target_that_is_shown_exists_and_all_are_shown() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))

    assert {words[0] for words in shell_lines("make")} == targets - {"help"}


@pytest.mark.parametrize("source", fenced("python"))
def test_a_python_block_compiles_and_imports_public_names_only(source: str) -> None:
    compile(source, "README.md", "exec")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            assert not [each.name for each in node.names if each.name.startswith("sidecar.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sidecar"):
            assert {each.name for each in node.names} <= public_names()[node.module or ""]


@pytest.mark.parametrize("module", public_names())
def test_what_a_service_can_rely_on_is_there(module: str) -> None:
    names = public_names()[module]

    assert names
    assert [name for name in names if not hasattr(import_module(module), name)] == []


def run_block(words: str, monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """Run the Python block with these words as a module that other blocks import."""
    (source,) = (text for text in fenced("python") if words in text)
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(source, vars(module))
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
    (source,) = fenced("toml")
    (tmp_path / "sidecar.toml").write_text(source, encoding="utf-8")

    rules, mistakes = sidecar_file.read(tmp_path)

    assert mistakes == ()
    assert rules.severity.keys() | rules.silenced.keys() <= {rule.id for rule in RULES}


async def test_the_table_of_paths_has_every_route_and_who_may_ask() -> None:
    async def collect(accept: str) -> tuple[bytes, str]:
        return b"", accept

    sources = Sources(
        answers=ProbeAnswers(Monitor([])),
        collect_metrics=collect,
        take_report=lambda: None,
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


@pytest.mark.parametrize("document", [README, CHANGELOG], ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    relative = [link for link in links if not re.match(r"[a-z]+:", link)]

    assert [link for link in relative if not (ROOT / link).exists()] == []


def test_the_changelog_tells_of_this_version() -> None:
    assert f"\n## [{sidecar.__version__}] - " in CHANGELOG.read_text(encoding="utf-8")


if __name__ == "__main__":
    write_tables()
