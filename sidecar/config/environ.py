"""A snapshot of everything that configures the process; the only reader of `os.environ`."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from sidecar.config import dotenv
from sidecar.config.environment import Environment, environment_of
from sidecar.config.fault import Fault
from sidecar.config.mount import mount, read_text
from sidecar.config.text import tidy
from sidecar.config.variable import ENV_FILE, OPTION, PROCESS, Variable
from sidecar.config.variable_name import is_plain_name


@dataclass(frozen=True, slots=True)
class Environ:
    """All variables, read once; nothing that is set later changes it.

    Attributes:
        promised: Variables that come from elsewhere and cannot be judged; `*` for any.
        assumed: What it is judged for where ENVIRONMENT is not set; `None` for a process, which
            then counts as development.
    """

    _variables: Mapping[str, Variable] = field(repr=False)
    faults: tuple[Fault, ...] = ()
    promised: frozenset[str] = frozenset()
    assumed: Environment | None = None

    @classmethod
    def of(cls, values: Mapping[str, str], source: str = PROCESS) -> Self:
        """Build a snapshot from plain values, as if `source` had given them."""
        return cls({name: Variable(name, value, source) for name, value in values.items()})

    def get(self, name: str) -> Variable | None:
        """Return the variable, also when its value is empty; `None` when it is not set."""
        return self._variables.get(name)

    def text(self, name: str) -> str:
        """Return the value without blanks, quotes and marks around it; empty when unset."""
        variable = self.get(name)
        return "" if variable is None else tidy(variable.value)

    @property
    def environment(self) -> Environment:
        """The kind of environment that it is judged for."""
        name = self.text("ENVIRONMENT")
        return self.assumed if self.assumed is not None and not name else environment_of(name)

    def with_environment(self, environment: str) -> Self:
        """Return the same with another ENVIRONMENT, as if the command line had set it."""
        changed = Variable("ENVIRONMENT", environment, OPTION)
        return replace(self, _variables={**self._variables, "ENVIRONMENT": changed})

    def is_promised(self, name: str) -> bool:
        """Return True when the variable is set elsewhere, to a value that is not known here."""
        return name not in self and not self.promised.isdisjoint({name, "*"})

    def __iter__(self) -> Iterator[Variable]:
        return iter(self._variables.values())

    def __contains__(self, name: object) -> bool:
        return name in self._variables


def read(*, directory: Path | None = None) -> Environ:
    """Return the snapshot: process, `NAME_FILE`, and in development the directory's `.env`."""
    return compose(os.environ, Path.cwd() if directory is None else directory)


def inherit(**changes: str) -> dict[str, str]:
    """Return the process's own environment, changed, for a child process."""
    return {**os.environ, **changes}


def compose(process: Mapping[str, str], directory: Path) -> Environ:
    """Put a snapshot together from the process's variables and the files they point to.

    The process environment wins over mounted files, and both over `.env`. Never raises for
    what is in a file or missing.
    """
    given = {name: Variable(name, value) for name, value in process.items() if is_plain_name(name)}
    variables: dict[str, Variable] = {}
    faults: list[Fault] = []
    if Environ(given).environment is Environment.DEVELOPMENT:
        variables, faults = dotenv.read_file(directory / ENV_FILE, process)
    for layer in (variables, given):
        faults += mount(layer)
    return Environ(variables | given, tuple(faults))


def reread(environ: Environ) -> Environ:
    """Read the mounted files of a snapshot again, for what was rotated meanwhile.

    A file that cannot be read just now keeps its old value: rotation replaces files in two steps.
    """
    fresh = {each.name: _reread(each) for each in environ}
    return replace(environ, _variables=fresh)


def _reread(variable: Variable) -> Variable:
    if variable.line is not None or variable.source in {PROCESS, ENV_FILE, OPTION}:
        return variable
    try:
        return replace(variable, value=read_text(variable.source))
    except (OSError, ValueError):
        return variable
