"""The named statements of the SQL files, loaded once for each schema."""

import re
from functools import cache
from importlib import resources
from typing import Final

from sidecar.postgres.schema import DEFAULT_SCHEMA, current_schema, qualify

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
# Tracing names a statement by its first word.
_FILES: Final = ("queries.sql", "verification.sql")
_REMARKS: Final = re.compile(r"\A(?:\s*--[^\n]*\n)+")


@cache
def statements(schema: str = DEFAULT_SCHEMA) -> dict[str, str]:
    """Return SQL text by name, without the comment above it, for a schema of the sidecar."""
    folder = resources.files("sidecar.postgres")
    parts = []
    for file in _FILES:
        parts += _NAME.split(folder.joinpath(file).read_text("utf-8"))[1:]
    return {
        name: qualify(_REMARKS.sub("", text).strip().rstrip(";"), schema)
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def sql(name: str) -> str:
    """Return one statement, for the current schema."""
    return statements(current_schema())[name]
