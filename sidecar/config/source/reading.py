"""What one file says about the environment."""

from dataclasses import dataclass, field

from sidecar.config.finding import Severity, Sighting
from sidecar.config.mount import ENV06
from sidecar.config.text import ENV03
from sidecar.config.variable import Variable


@dataclass(slots=True)
class Reading:
    """Variables by name, what is wrong with the file, and what it only promises.

    Attributes:
        promised: Variables that the deployment takes from elsewhere; nothing can be said of them.
    """

    variables: dict[str, Variable] = field(default_factory=dict)
    sightings: list[Sighting] = field(default_factory=list)
    promised: set[str] = field(default_factory=set)

    def put(self, variable: Variable) -> None:
        """Take a variable; the later of two wins, and that there are two is told."""
        earlier = self.variables.get(variable.name)
        if earlier is not None and earlier.source == variable.source:
            self.sightings.append(
                Sighting(
                    ENV06,
                    variable.name,
                    f"{variable.name} stands twice, in lines {earlier.line} and {variable.line}.",
                    "Keep one of them; the last one wins here, the first one elsewhere.",
                    variable.source,
                    at_most=Severity.WARNING,
                    line=variable.line,
                )
            )
        self.variables[variable.name] = variable


def unusable(source: str, message: str, line: int | None = None, *, hint: str = "") -> Sighting:
    """Say that a file, or a line of it, cannot be used."""
    return Sighting(
        ENV06,
        source,
        message,
        hint or "Put the file right: nothing of it can be judged.",
        source,
        line=line,
    )


def marked(source: str, message: str, hint: str, line: int) -> Sighting:
    """Say what an editor left in a file."""
    return Sighting(ENV03, source, message, hint, source, at_most=Severity.WARNING, line=line)
