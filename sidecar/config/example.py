"""What the repository itself publishes as values, and what must therefore not be used."""

import io
from pathlib import Path

from dotenv import dotenv_values

from sidecar.config.naming import is_plain_name

_FILES = (".env.example", ".env.sample", ".env.template", "env.example")
_LIMIT_BYTES = 1024 * 1024


def read(repository: Path | None) -> dict[str, str]:
    """Give the values of the repository's example files; none when they cannot be read."""
    if repository is None:
        return {}
    values: dict[str, str] = {}
    for name in reversed(_FILES):
        values |= _values(repository / name)
    return values


def _values(path: Path) -> dict[str, str]:
    try:
        if not path.is_file() or path.stat().st_size > _LIMIT_BYTES:
            return {}
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError):
        return {}
    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value and is_plain_name(name)}
