"""The runbooks, and what stands in them."""

import re
from pathlib import Path

from tests.dashboards import source

GUIDES = ("deployment", "incident-response", "projection-rebuild", "rollback")
PAGES = sorted(page for page in source.RUNBOOKS.glob("*.md") if page.stem not in GUIDES)
ALL = sorted(source.RUNBOOKS.glob("*.md"))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands_of(page: Path) -> set[str]:
    """Give what one is told to type."""
    spans = re.findall(r"`((?:sidecar|curl|psql) [^`]+)`", text_of(page))
    return {" ".join(span.split()) for span in spans}


def all_commands() -> set[str]:
    return set().union(*map(commands_of, ALL))


def query_of(page: Path) -> str:
    (query,) = re.findall(r"^- Query: `([^`]+)`$", text_of(page), re.MULTILINE)
    return str(query)
