"""What is judged: one container or service with its environment."""

from dataclasses import dataclass
from typing import Self

from sidecar.config.environ import Environ
from sidecar.lint.fault_rules import violations_of
from sidecar.lint.finding import Finding, weigh_all


@dataclass(frozen=True, slots=True)
class Workload:
    """A container or service of a deployment, or this process.

    Attributes:
        name: What findings call it; `None` for a process.
        origin: The file and line that start it, for what is missing in it; `None` for a process.
        findings: What was wrong with the files that it was read from.
    """

    environ: Environ
    name: str | None = None
    origin: tuple[str, int | None] | None = None
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of_process(cls, environ: Environ) -> Self:
        """Return a process with the environment that it was given."""
        found = weigh_all(violations_of(environ.faults), environ.environment)
        return cls(environ, findings=found)
