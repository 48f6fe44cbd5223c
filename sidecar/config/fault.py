"""What went wrong while reading the configuration: plain, and not weighed."""

from dataclasses import dataclass
from enum import StrEnum

from sidecar.config.severity import Severity


class FaultKind(StrEnum):
    """What is wrong; the rules of `lint` say how bad that is, and where.

    `MARK` is what an editor or a tool left in a text, `FORM` a value that does not fit its
    setting, `POOL` pool sizes that cannot hold, `FILE` a file that cannot be read as it was
    meant, `PROJECT` a mistake in `sidecar.toml`, `SCHEMA` a name that no schema can have.
    """

    MARK = "mark"
    FORM = "form"
    POOL = "pool"
    FILE = "file"
    PROJECT = "project"
    SCHEMA = "schema"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that could not be read, or not as it was meant.

    Attributes:
        field: The variable's name, or the file.
        message: What is wrong; never with the value.
        hint: What to do about it.
        source: Where the value came from; `None` when there is none.
        line: Where in that file, counted from 1; `None` when that is not known.
        at_most: Caps the severity of its kind for a milder case.
    """

    kind: FaultKind
    field: str
    message: str
    hint: str
    source: str | None = None
    line: int | None = None
    at_most: Severity = Severity.REFUSE
