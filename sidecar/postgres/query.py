"""The named statements of the SQL files, loaded once for each schema."""

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from sidecar.postgres.schema import DEFAULT_SCHEMA, current_schema, qualify

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_REMARKS: Final = re.compile(r"\A(?:\s*--[^\n]*\n)+")


_texts: Final[set[str]] = set()


@cache
def statements(schema: str = DEFAULT_SCHEMA) -> dict[str, str]:
    """Return SQL text by name, without the comment above it, for a schema of the sidecar."""
    by_name: dict[str, str] = {}
    for file in _find_files(resources.files("sidecar.postgres")):
        parts = _NAME.split(file.read_text("utf-8"))[1:]
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            # Tracing names a statement by its first word.
            by_name[name] = qualify(_REMARKS.sub("", text).strip().rstrip(";"), schema)
    _texts.update(by_name.values())
    return by_name


def _find_files(folder: Traversable) -> Iterator[Traversable]:
    """Yield the files of named statements in a folder and in those below it."""
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "migrations":
            yield from _find_files(entry)
        elif entry.name.endswith(".sql"):
            yield entry


def sql(name: str) -> str:
    """Return one statement, for the current schema."""
    return statements(current_schema())[name]


def sql_in(shadow: str, name: str) -> str:
    """Return one statement about the copy in a schema."""
    return _read_in(shadow, sql(name))


@cache
def _read_in(shadow: str, statement: str) -> str:
    query = statement.replace("{shadow}", shadow)
    _texts.add(query)
    return query


def is_own(query: str) -> bool:
    """Return True for one of the statements."""
    return query in _texts
