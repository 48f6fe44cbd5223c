"""The schema that statements name: each service of a database may have one of its own.

SQL is written for the schema `sidecar`, and is read for another one by `qualify`.
"""

import re
import zlib
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Final

from sidecar.config import environ as environment
from sidecar.config import form
from sidecar.config.settings import SCHEMA_VARIABLE
from sidecar.errors import UsageError

DEFAULT_SCHEMA: Final = form.DEFAULT_SCHEMA
_current: Final = ContextVar("sidecar_schema", default=DEFAULT_SCHEMA)

# As a name that is compared, as an identifier, and as the class of an advisory lock.
_OWN: Final = re.compile(rf"'{DEFAULT_SCHEMA}'|\b{DEFAULT_SCHEMA}\b|\b723617\d\b")
# Classes of two schemas lie at least as many apart.
_LOCK_CLASSES: Final = 16


def current_schema() -> str:
    """Return the schema that statements name in what runs now, which is this process's own."""
    return _current.get()


def events_channel() -> str:
    """Return the channel on which the schema's workers hear that events were committed."""
    return f"{current_schema()}_events"


def work_channel() -> str:
    """Return the channel on which they hear that a copy is to be filled."""
    return f"{current_schema()}_work"


class UsedSchema:
    """Has statements name a schema for a block; a class, for each append begins one."""

    __slots__ = ("_name", "_token")

    def __init__(self, name: str) -> None:
        self._name = name
        self._token: Token[str] | None = None

    def __enter__(self) -> None:
        self._token = _current.set(self._name)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            # A coroutine that nobody awaits any more is closed in a context without the token.
            with suppress(ValueError):
                _current.reset(self._token)


def use_schema(name: str) -> UsedSchema:
    """Have statements name another schema, in this task and in those that it starts meanwhile."""
    return UsedSchema(name)


def choose_schema(name: str | None) -> str:
    """Return the schema that an object of an application uses from now on.

    Args:
        name: As the application gave it; None for that of SIDECAR_SCHEMA.

    Raises:
        UsageError: It cannot be the name of a schema.
    """
    if name is None and current_schema() != DEFAULT_SCHEMA:
        return current_schema()
    given = environment.read().text(SCHEMA_VARIABLE) if name is None else name
    try:
        return form.SCHEMA.read(given or DEFAULT_SCHEMA)
    except ValueError:
        source = SCHEMA_VARIABLE if name is None else "The `schema` given"
        raise UsageError(f"{source} is not {form.SCHEMA.expected}.") from None


def qualify(text: str, schema: str | None = None) -> str:
    """Return SQL that is written for the schema `sidecar` as it reads for the current one."""
    name = current_schema() if schema is None else schema
    if name == DEFAULT_SCHEMA:
        return text
    offset = zlib.crc32(name.encode()) % 2**26 * _LOCK_CLASSES

    def own(found: re.Match[str]) -> str:
        if found[0].isdigit():
            return str(int(found[0]) + offset)
        return f"'{name}'" if found[0].startswith("'") else f'"{name}"'

    return _OWN.sub(own, text)
