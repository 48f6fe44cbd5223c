"""The named statements of queries.sql, loaded once."""

import re
from functools import cache
from importlib import resources
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
# Tracing names a statement by its first word.
_REMARKS: Final = re.compile(r"\A(?:\s*--[^\n]*\n)+")


@cache
def statements() -> dict[str, str]:
    """Return SQL text by name, without the comment above it."""
    file = resources.files("sidecar.postgres").joinpath("queries.sql").read_text("utf-8")
    _, *parts = _NAME.split(file)
    return {
        name: _REMARKS.sub("", text).strip().rstrip(";")
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def sql(name: str) -> str:
    """Return one statement."""
    return statements()[name]
