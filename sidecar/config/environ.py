"""A snapshot of everything that configures the process; the only reader of `os.environ`."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from sidecar.config import env_file
from sidecar.config.environment import Environment, environment_of
from sidecar.config.finding import Finding, Sighting, weigh_all
from sidecar.config.mount import mount
from sidecar.config.naming import is_plain_name
from sidecar.config.text import tidy
from sidecar.config.variable import ENV_FILE, PROCESS, Variable


@dataclass(frozen=True, slots=True)
class Environ:
    """All variables, read once; nothing that is set later changes it.

    Attributes:
        findings: What went wrong while reading, weighed for the environment found.
    """

    _variables: Mapping[str, Variable] = field(repr=False)
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, str], source: str = PROCESS) -> Self:
        """Build a snapshot from plain values, as if `source` had given them."""
        return cls({name: Variable(name, value, source) for name, value in values.items()})

    def get(self, name: str) -> Variable | None:
        """Give the variable, also when its value is empty; `None` when it is not set."""
        return self._variables.get(name)

    def text(self, name: str) -> str:
        """Give the value without blanks, quotes and marks around it; empty when unset."""
        variable = self.get(name)
        return "" if variable is None else tidy(variable.value)

    def __iter__(self) -> Iterator[Variable]:
        return iter(self._variables.values())

    def __len__(self) -> int:
        return len(self._variables)

    def __contains__(self, name: object) -> bool:
        return name in self._variables


def read(*, directory: Path | None = None) -> Environ:
    """Take the snapshot: process environment, `NAME_FILE`, and in development `.env`.

    Args:
        directory: Where `.env` lies; the working directory when `None`.
    """
    return compose(os.environ, Path.cwd() if directory is None else directory)


def inherit(**changes: str) -> dict[str, str]:
    """Give the process's own environment, changed, for a child process."""
    return {**os.environ, **changes}


def compose(process: Mapping[str, str], directory: Path) -> Environ:
    """Put a snapshot together from the process's variables and the files they point to.

    The process environment wins over mounted files, and both over `.env`. Never raises for
    what is in a file or missing.
    """
    given = {name: value for name, value in process.items() if is_plain_name(name)}
    sightings: list[Sighting] = []
    variables: dict[str, Variable] = {}
    if _environment(given) is Environment.DEVELOPMENT:
        values, seen = env_file.read(directory / ENV_FILE)
        variables = {name: Variable(name, value, ENV_FILE) for name, value in values.items()}
        sightings += seen
    own = {name: Variable(name, value) for name, value in given.items()}
    for layer in (variables, own):
        sightings += mount(layer)
    variables |= own
    return Environ(
        variables,
        weigh_all(
            tuple(sightings), _environment({each: variables[each].value for each in variables})
        ),
    )


def _environment(values: Mapping[str, str]) -> Environment:
    return environment_of(tidy(values.get("ENVIRONMENT", "")))
