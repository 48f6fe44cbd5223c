"""Failures of the environment, which no event is to blame for: found by their likeness. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

from sidecar.errors import UnknownTypeError, trace_back
from sidecar.events.record import RecordedEvent
from sidecar.projections.cure import find_cure, to_line

# So many streams failed alike, and no event of that type was applied between them. What an error
# says of a value may well be an event's own fault: of such, it takes more.
HALT_STREAMS: Final = 3
HALT_STREAMS_BY_VALUE: Final = 20
# So many streams wait for a release that handles a type; the read model is too far from the log.
MAX_UNKNOWN_STREAMS: Final = 1000
MAX_TEXT_CHARACTERS: Final = 200
RIGHT_MISSING: Final = "42501"

# Classes of SQLSTATE that speak of tables, rights, functions, limits and the server, never of a
# value; those of the other classes may. https://www.postgresql.org/docs/current/errcodes-appendix.html
_CLASSES: Final = frozenset({"0A", "26", "3D", "3F", "42", "54", "55", "57", "58", "XX"})
# What these say names tables, columns, functions and roles.
_NAMING: Final = frozenset({RIGHT_MISSING, "42P01", "42703", "42704", "42883", "3F000"})

_END: Final = {
    True: "No event is at fault: it goes on by itself then",
    False: "So many are no single event's fault: it goes on by itself once one can be applied",
}
_PARTS: Final = ("constraint", "column", "table")


class EnvironmentFailedError(Exception):
    """Leaves a transaction because nothing can be applied, whatever the event.

    Attributes:
        error_type: Of what the handler raised, as dead letters name it.
        cause: PostgreSQL's error in it, or that the release lacks a type.
        sqlstate: Its SQLSTATE; empty where it is none of PostgreSQL's.
        records: The events that failed with it, of a stream each; the last one failed last.
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
    """Return the SQLSTATE in an error of PostgreSQL, and what carries it."""
    for cause in trace_back(error):
        sqlstate = getattr(cause, "sqlstate", None)
        if isinstance(sqlstate, str) and sqlstate:
            return sqlstate, cause
    return None


def has_sqlstate(error: BaseException, sqlstate: str) -> bool:
    """Return True when an error is one of PostgreSQL with this SQLSTATE."""
    found = find_sqlstate(error)
    return found is not None and found[0] == sqlstate


def halt_streams(sqlstate: str) -> int:
    """Return how many streams have to fail alike until no event is to blame."""
    return HALT_STREAMS if sqlstate[:2] in _CLASSES else HALT_STREAMS_BY_VALUE


def is_of_environment(error: BaseException) -> bool:
    """Return True when an error speaks of what every event needs, and of no value."""
    found = find_sqlstate(error)
    return found is not None and found[0][:2] in _CLASSES


def describe_halt(
    cause: BaseException, sqlstate: str, redact: Callable[[str], str], grants: Sequence[str] = ()
) -> str:
    """Say in one line why a projection stands still, and that it goes on by itself.

    Args:
        cause: PostgreSQL's error, or that the release lacks a type.
        sqlstate: Its SQLSTATE; empty where it is none of PostgreSQL's.
        redact: Masks secrets.
        grants: Statements that give the role the rights that it lacks, as far as they are known.
    """
    if isinstance(cause, UnknownTypeError):
        return f"{MAX_UNKNOWN_STREAMS} streams wait already. {str(cause).rstrip('.')}"
    cure = find_cure(sqlstate) or "put that right"
    if grants:
        cure = f"let the owner run: {to_line('; '.join(grants), MAX_TEXT_CHARACTERS)}"
    return (
        f"{type(cause).__name__} (SQLSTATE {sqlstate}) in {halt_streams(sqlstate)} streams alike"
        f"{_name_place(cause, sqlstate, redact)}; {cure}. {_END[sqlstate[:2] in _CLASSES]}"
    )


def describe_error(error: BaseException, redact: Callable[[str], str]) -> str:
    """Say in one line what failed, without any value, and what to do where that is known.

    Args:
        error: What was raised.
        redact: Masks secrets.
    """
    found = find_sqlstate(error)
    if found is None:
        return type(error).__name__
    sqlstate, cause = found
    said = f"{type(cause).__name__}{_name_place(cause, sqlstate, redact)}"
    cure = find_cure(sqlstate)
    return f"{said}; {cure}" if cure else said


def _name_place(cause: BaseException, sqlstate: str, redact: Callable[[str], str]) -> str:
    """Name what an error is about: by its text where that holds no value, else by its fields."""
    if sqlstate in _NAMING:
        said = str(cause.args[0]) if cause.args else ""
        return f": {to_line(redact(said), MAX_TEXT_CHARACTERS)}"
    names = ((kind, getattr(cause, f"{kind}_name", None)) for kind in _PARTS)
    place = " of ".join(f"{kind} {name}" for kind, name in names if isinstance(name, str) and name)
    return f": {to_line(redact(place), MAX_TEXT_CHARACTERS)}" if place else ""


class Suspicion(dict[tuple[str, str], dict[str, RecordedEvent]]):
    """Which streams failed alike, by SQLSTATE and type of event, until one of that type passes."""

    def add(self, sqlstate: str, record: RecordedEvent) -> Sequence[RecordedEvent]:
        """Record a failure; return the failed events once no event is to blame."""
        streams = self.setdefault((sqlstate, record.type), {})
        streams.setdefault(record.stream, record)
        return tuple(streams.values()) if len(streams) >= halt_streams(sqlstate) else ()

    def passed(self, event_type: str) -> None:
        """Record that an event of this type was applied."""
        if self:  # asked at each event, and hardly ever so
            for key in [key for key in self if key[1] == event_type]:
                del self[key]
