"""One variable of the environment."""

from dataclasses import dataclass, field

PROCESS = "environment"
ENV_FILE = ".env"


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable and where it came from.

    Attributes:
        name: As set, without `_FILE`.
        value: As found, not tidied; may be a secret, so it stays out of `repr`.
        source: `environment`, `.env`, or the path of the mounted file.
    """

    name: str
    value: str = field(repr=False)
    source: str = PROCESS
