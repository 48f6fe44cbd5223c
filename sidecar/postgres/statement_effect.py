"""What a statement does beyond its rows: what is refused, and what it leaves behind. Pure."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from sidecar.errors import ConnectionMisuseError
from sidecar.projections.statement_text import strip


class Trace(StrEnum):
    """What a statement leaves behind, in the transaction or the session, for whoever comes next."""

    SETTING = "setting"
    TEMPORARY = "temporary"
    CURSOR = "cursor"
    PREPARED = "prepared"
    CONSTRAINTS = "constraints"
    SAVEPOINT = "savepoint"
    EMPTIED = "emptied"


class Effect(NamedTuple):
    """What a statement does beyond its rows.

    Attributes:
        forbidden: What it does that its author may not; empty for nothing.
        traces: What it leaves behind.
    """

    forbidden: str = ""
    traces: frozenset[Trace] = frozenset()


NO_EFFECT: Final = Effect()

# Longer texts hold values, and hardly ever come again.
_MAX_CACHED_CHARACTERS: Final = 4000

_MAY_MATTER: Final = re.compile(
    r"\b(?:commit|rollback|abort|end|prepare|set|reset|set_config|temp|temporary|pg_temp|declare"
    r"|savepoint|release|deallocate|truncate|delete|pg_terminate_backend)\b",
    re.IGNORECASE,
)
_BEGINS: Final = r"(?:\A|;)\s*"
# Inside a block of PL/pgSQL a statement follows one of these words as well.
_BEGINS_IN_BLOCK: Final = r"(?:\A|;|\b(?:begin|then|else|loop|perform|execute)\b\W*)\s*"
_FORBIDDEN: Final = (
    (
        "ends the transaction",
        re.compile(
            _BEGINS + r"(?:commit|end|abort|prepare\s+transaction"
            r"|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b))\b",
            re.IGNORECASE,
        ),
    ),
    (
        "changes the transaction",
        re.compile(_BEGINS + r"set\s+(?:(?:local|session)\s+)?transaction\b", re.IGNORECASE),
    ),
    (
        "forgets what asyncpg has prepared",
        re.compile(_BEGINS + r"deallocate\s+(?:prepare\s+)?all\b", re.IGNORECASE),
    ),
)
_ENDS_SESSION: Final = re.compile(r"\bpg_terminate_backend\s*\(", re.IGNORECASE)
# A table or a column may bear that name as well.
_TEMPORARY: Final = (
    r"\bcreate\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b"
    r"|(?<!insert\s)\binto\s+(?:(?:local|global)\s+)?temp(?:orary)?\s+\w|\bpg_temp\b"
)
# A whole table: no condition follows.
_EMPTIED: Final = (
    _BEGINS_IN_BLOCK + r"truncate\b|\bdelete\s+from\s+(?:only\s+)?[^\s;()]+"
    r"(?:\s+(?:as\s+)?(?!where\b|using\b|returning\b)\w+)?\s*(?:\Z|[;)]|\breturning\b)"
)
_TRACES: Final = tuple(
    (trace, re.compile(pattern, re.IGNORECASE | re.DOTALL))
    for trace, pattern in (
        (Trace.SETTING, _BEGINS_IN_BLOCK + r"(?:set(?!\s+constraints)|reset)\b|\bset_config\s*\("),
        (Trace.TEMPORARY, _TEMPORARY),
        (Trace.CURSOR, _BEGINS + r"declare\b"),
        (Trace.PREPARED, _BEGINS + r"prepare\b"),
        (Trace.CONSTRAINTS, _BEGINS_IN_BLOCK + r"set\s+constraints\b"),
        (Trace.SAVEPOINT, _BEGINS + r"(?:savepoint|release|rollback\b.*?\bto)\b"),
        (Trace.EMPTIED, _EMPTIED),
    )
)
# The body of a function in standard SQL, where the server itself refuses to end a transaction.
_BODY: Final = re.compile(r"\bbegin\s+atomic\b", re.IGNORECASE)
_BLOCK: Final = re.compile(_BEGINS + r"do\b", re.IGNORECASE)
_DOTTED: Final = re.compile(r"(?<![\w.$])[A-Za-z_]\w*\.[A-Za-z_]\w*(?![\w.(])")


def effect_of(query: str) -> Effect:
    """Return what a text of one or more statements does beyond its rows.

    A transaction that a DO block or a procedure would end is refused by the server itself.

    Raises:
        ConnectionMisuseError: It is no text that asyncpg could send.
    """
    if type(query) is not str:
        raise ConnectionMisuseError(
            f"A statement has to be a `str` itself and not {type(query).__name__}, for which "
            "asyncpg ends the session; pass `str(...)` of it, or the `value` of an enum."
        )
    return _look_up(query) if len(query) <= _MAX_CACHED_CHARACTERS else _find(query)


def ends_transaction(query: str) -> bool:
    """Return True when a text would end the transaction that it runs in; a savepoint is none."""
    return effect_of(query).forbidden == "ends the transaction"


def names_in(text: str) -> set[str]:
    """Return what may be the name of a setting of the service's own, such as `app.user`."""
    return set(_DOTTED.findall(text))


def _find(query: str) -> Effect:
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise ConnectionMisuseError(
            "A statement holds half a character (a surrogate), for which asyncpg ends the session; "
            "pass values as parameters."
        ) from error
    if not _MAY_MATTER.search(query):
        return NO_EFFECT
    text = strip(query, "''")
    if _BODY.search(text):
        return NO_EFFECT
    seen = query if _BLOCK.search(text) else text
    forbidden = next((deed for deed, pattern in _FORBIDDEN if pattern.search(text)), "")
    if _ENDS_SESSION.search(seen):
        forbidden = "ends a session"
    traces = frozenset(trace for trace, pattern in _TRACES if pattern.search(seen))
    return Effect(forbidden, traces) if forbidden or traces else NO_EFFECT


_look_up: Final = lru_cache(512)(_find)
