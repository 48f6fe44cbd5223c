"""Failures of the environment, which no event is to blame for: found by their likeness. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

from sidecar.errors import UnknownTypeError, trace_back
from sidecar.events.record import RecordedEvent

# So many streams failed alike, and no event of that type was applied between them.
HALT_STREAMS: Final = 3
# So many streams wait for a release that handles a type; the read model is too far from the log.
MAX_UNKNOWN_STREAMS: Final = 1000
MAX_TEXT_CHARACTERS: Final = 200

# Classes of SQLSTATE that speak of tables, rights, functions, limits and the server, never of a
# value. https://www.postgresql.org/docs/current/errcodes-appendix.html
_CLASSES: Final = frozenset({"0A", "26", "3D", "3F", "42", "54", "55", "57", "58", "XX"})
# What these say names tables, columns, functions and roles.
_NAMING: Final = frozenset({"42501", "42P01", "42703", "42704", "42883", "3F000"})

_CURES: Final = {
    "42501": "let the owner GRANT that to the role of DATABASE_URL",
    "42P01": "put the table back, or deploy a handler that does without it",
    "42703": "put the column back, or deploy a handler that does without it",
    "42P10": "put the unique index back that its ON CONFLICT names",
    "57014": "look at `statement_timeout` of role and database, and at what slows statements",
}


class EnvironmentFailedError(Exception):
    """Leaves a transaction because nothing can be applied, whatever the event.

    Attributes:
        error_type: Of what the handler raised, as dead letters name it.
        cause: PostgreSQL's error in it, or that the release lacks a type.
        sqlstate: Its SQLSTATE; empty where it is none of PostgreSQL's.
        records: The events that failed with it, of a stream each.
    """

    def __init__(
        self,
        error: BaseException,
        cause: BaseException,
        sqlstate: str,
        records: Sequence[RecordedEvent],
    ) -> None:
        super().__init__(sqlstate)
        self.error_type = type(error).__name__
        self.cause = cause
        self.sqlstate = sqlstate
        self.records = records

    def is_met_again(self, error: BaseException) -> bool:
        """Return True when an error is the same that ended it."""
        if isinstance(self.cause, UnknownTypeError):
            return isinstance(error, UnknownTypeError)
        return has_sqlstate(error, self.sqlstate)


def find_sqlstate(error: BaseException) -> tuple[str, BaseException] | None:
    """Return the SQLSTATE in an error that can hit every event alike, and what carries it."""
    for cause in trace_back(error):
        sqlstate = getattr(cause, "sqlstate", None)
        if isinstance(sqlstate, str) and sqlstate:
            return (sqlstate, cause) if sqlstate[:2] in _CLASSES else None
    return None


def has_sqlstate(error: BaseException, sqlstate: str) -> bool:
    """Return True when an error is of the environment, with this SQLSTATE."""
    found = find_sqlstate(error)
    return found is not None and found[0] == sqlstate


def describe_halt(cause: BaseException, sqlstate: str, redact: Callable[[str], str]) -> str:
    """Say in one line why a projection stands still, and that it goes on by itself."""
    if isinstance(cause, UnknownTypeError):
        return f"{MAX_UNKNOWN_STREAMS} streams wait already. {str(cause).rstrip('.')}"
    said = f": {_text_of(cause, redact)}" if sqlstate in _NAMING else ""
    return (
        f"{type(cause).__name__} (SQLSTATE {sqlstate}) in {HALT_STREAMS} streams alike{said}; "
        f"{_CURES.get(sqlstate, 'put that right')}. No event is at fault: it goes on by itself then"
    )


def _text_of(cause: BaseException, redact: Callable[[str], str]) -> str:
    text = redact(str(cause.args[0]) if cause.args else "")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:MAX_TEXT_CHARACTERS]


class Suspicion(dict[tuple[str, str], dict[str, RecordedEvent]]):
    """Which streams failed alike, by SQLSTATE and type of event, until one of that type passes."""

    def add(self, sqlstate: str, record: RecordedEvent) -> Sequence[RecordedEvent]:
        """Record a failure; return the failed events once no event is to blame."""
        streams = self.setdefault((sqlstate, record.type), {})
        streams.setdefault(record.stream, record)
        return tuple(streams.values()) if len(streams) >= HALT_STREAMS else ()

    def passed(self, event_type: str) -> None:
        """Record that an event of this type was applied."""
        if self:  # asked at each event, and hardly ever so
            for key in [key for key in self if key[1] == event_type]:
                del self[key]
