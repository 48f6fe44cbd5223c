"""The pages for contributors describe the code as it is: rooms, layers, decisions."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.markdown import ROOT, blocks, read

ARCHITECTURE = ROOT / "docs" / "architecture.md"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
WALKS = {"An event": 10, "A probe": 5, "A finding": 10, "A pool's number": 8}
PARTS = ["Context", "Decision", "Consequences"]


def test_every_room_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(sidecar/\w+/)` \| [^|]+ \|$", read(ARCHITECTURE), re.MULTILINE)
    rooms = {f"sidecar/{path.parent.name}/" for path in (ROOT / "sidecar").glob("*/__init__.py")}

    assert sorted(rows) == sorted(rooms)


def test_the_drawn_layers_are_those_that_are_held() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    held = [
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    ]

    assert [drawn.text.splitlines() for drawn in blocks("text", (ARCHITECTURE,))] == held


def test_every_subject_of_postgres_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)/` \| [^|]+ \|$", read(ARCHITECTURE), re.MULTILINE)
    folders = (ROOT / "sidecar" / "postgres").glob("*/__init__.py")

    assert sorted(rows) == sorted(path.parent.name for path in folders)


def test_decisions_are_numbered_and_listed_in_order() -> None:
    index = read(ROOT / "docs" / "decisions" / "README.md")
    rows = re.findall(r"^\| \[(\d{4})\]\((.+)\) \| (.+) \|$", index, re.MULTILINE)

    assert len(DECISIONS) >= 12
    assert [name for _, name, _ in rows] == [page.name for page in DECISIONS]
    for number, (digits, name, title) in enumerate(rows, 1):
        assert digits == name[:4] == f"{number:04}"
        assert read(DECISIONS[number - 1]).startswith(f"# {digits}. {title}\n")


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_three_parts(page: Path) -> None:
    assert re.findall(r"^## (.+)$", read(page), re.MULTILINE) == PARTS


@pytest.mark.parametrize(("walk", "limit"), WALKS.items())
def test_a_walk_leads_through_few_files_that_exist(walk: str, limit: int) -> None:
    text = read(ARCHITECTURE).partition(f"### {walk}, from ")[2].partition("\n#")[0]
    steps = re.findall(r"^\d+\. `([^`]+)`", text, re.MULTILINE)

    assert 0 < len(set(steps)) == len(steps) <= limit
    assert re.findall(r"^\d+\.", text, re.MULTILINE) == [f"{n}." for n in range(1, len(steps) + 1)]
    assert [path for path in steps if not (ROOT / path).is_file()] == []
