"""The named statements of the SQL files, loaded once."""

import re
from functools import cache
from importlib import resources
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
# Tracing names a statement by its first word.
_FILES: Final = ("queries.sql", "verification.sql")
_REMARKS: Final = re.compile(r"\A(?:\s*--[^\n]*\n)+")


@cache
def statements() -> dict[str, str]:
    """Return SQL text by name, without the comment above it."""
    folder = resources.files("sidecar.postgres")
    parts = []
    for file in _FILES:
        parts += _NAME.split(folder.joinpath(file).read_text("utf-8"))[1:]
    return {
        name: _REMARKS.sub("", text).strip().rstrip(";")
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def sql(name: str) -> str:
    """Return one statement."""
    return statements()[name]
