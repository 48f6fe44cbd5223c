"""One variable of the environment."""

from dataclasses import dataclass, field

PROCESS = "environment"
ENV_FILE = ".env"
OPTION = "command line"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable and where it came from.

    Attributes:
        name: As set, without `_FILE`.
        value: As found, not tidied; may be a secret, so it stays out of `repr`.
        source: `environment`, `.env`, or the path of the file that it was read from.
        line: Where in that file, counted from 1; `None` when the whole file is the value.
    """

    name: str
    value: str = field(repr=False)
    source: str = PROCESS
    line: int | None = None
