"""The pages that people read, and what stands in them."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
README: Final = ROOT / "README.md"
CHANGELOG: Final = ROOT / "CHANGELOG.md"
# The changelog also names what is gone.
PAGES: Final = (
    README,
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    ROOT / "tests" / "README.md",
)
_FENCED: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN: Final = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_ASSIGNMENT: Final = re.compile(r"[A-Z_]+=")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(language: str, pages: tuple[Path, ...] = PAGES) -> list[Block]:
    return [
        Block(page, *found)
        for page in pages
        for found in _FENCED.findall(read(page))
        if found[0] == language
    ]


def spans(page: Path) -> set[str]:
    """Return what stands as code within the text of a page, on one line each."""
    text = _FENCED.sub("", read(page))
    return {" ".join(span.split()) for span in _SPAN.findall(text)}


def links(page: Path) -> set[str]:
    return set(_LINK.findall(_FENCED.sub("", read(page))))


def anchors(page: Path) -> set[str]:
    """Return what a link to a heading of the page may say behind `#`."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", read(page)), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command in the blocks of a page; the program first, as a name."""
    for block in blocks("sh", (page,)):
        for line in block.text.splitlines():
            for part in re.split(r" \| ", line):
                words = shlex.split(part, comments=True)
                while words and _ASSIGNMENT.match(words[0]):
                    words.pop(0)
                if words:
                    yield [Path(words[0]).name, *words[1:]]


def calls(program: str) -> list[list[str]]:
    """Return the words behind a program wherever a block calls it."""
    found = (words for page in PAGES for words in commands(page))
    return [words[1:] for words in found if words[0] == program]


def coded_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out as a table; the first column as code."""
    lines = [header, tuple("---" for _ in header)]
    lines += [(f"`{first}`", *rest) for first, *rest in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
