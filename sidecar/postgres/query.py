"""The named statements of the SQL files, loaded once for each schema."""

import re
from functools import cache
from importlib import resources
from typing import Final

from sidecar.postgres.schema import DEFAULT_SCHEMA, current_schema, qualify

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
# Tracing names a statement by its first word.
_FILES: Final = (
    "checkpoints/accepted_gaps.sql",
    "checkpoints/declaration.sql",
    "handler/handler_session.sql",
    "log_memory/log_memory.sql",
    "queries.sql",
    "verify/scratch.sql",
    "tables/table_marks.sql",
    "verify/verification.sql",
    "rebuild/preview.sql",
    "rebuild/refill.sql",
)
_REMARKS: Final = re.compile(r"\A(?:\s*--[^\n]*\n)+")


_texts: Final[set[str]] = set()


@cache
def statements(schema: str = DEFAULT_SCHEMA) -> dict[str, str]:
    """Return SQL text by name, without the comment above it, for a schema of the sidecar."""
    folder = resources.files("sidecar.postgres")
    parts = []
    for file in _FILES:
        parts += _NAME.split(folder.joinpath(file).read_text("utf-8"))[1:]
    by_name = {
        name: qualify(_REMARKS.sub("", text).strip().rstrip(";"), schema)
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }
    _texts.update(by_name.values())
    return by_name


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
