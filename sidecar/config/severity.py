"""How bad what is found is: the rules say it, and `sidecar.toml` may say otherwise."""

from enum import StrEnum

from sidecar.config.environment import Environment


class Severity(StrEnum):
    """How bad a finding is, mildest first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    REFUSE = "refuse"

    @property
    def rank(self) -> int:
        """Return 0 for `info` up to 3 for `refuse`."""
        return list(Severity).index(self)

    def in_environment(self, environment: Environment) -> "Severity":
        """Cap `refuse` at `error` where the environment forgives."""
        if self is Severity.REFUSE and not environment.is_strict:
            return Severity.ERROR
        return self
