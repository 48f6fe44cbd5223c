"""One word for one idea: each term stands once in the glossary and is used in the product."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.markdown import PAGES, ROOT, name_of, read

GLOSSARY = ROOT / "docs" / "glossary.md"
ROWS = re.findall(r"^\| ([^|`]+) \| ([^|]+) \| `(\w+)` \|$", read(GLOSSARY), re.MULTILINE)
TERMS = [term for term, _, _ in ROWS]


@cache
def words_of_the_product() -> frozenset[str]:
    files = [*(ROOT / "sidecar").rglob("*.py"), *(ROOT / "sidecar").rglob("*.sql")]
    return frozenset(word for file in files for word in re.findall(r"\w+", file.read_text("utf-8")))


def test_every_line_of_the_glossary_is_a_term() -> None:
    lines = re.findall(r"^\| .*$", read(GLOSSARY), re.MULTILINE)

    assert len(lines) == len(ROWS) + 2


def test_each_term_stands_once_in_order() -> None:
    assert sorted(set(TERMS), key=str.lower) == TERMS


@pytest.mark.parametrize(("term", "name"), [(term, name) for term, _, name in ROWS])
def test_a_term_is_used_in_the_product(term: str, name: str) -> None:
    assert name in words_of_the_product(), term


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_calls_a_dead_letter_by_its_whole_name(page: Path) -> None:
    # Names of log events are older than the glossary, and people's alerts rest on them.
    text = re.sub(r"`[^`]+`", "", read(page)).lower().replace("\n", " ")

    assert re.findall(r"(?<!dead[ -])\bletters?\b", text) == []
