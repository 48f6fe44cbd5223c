"""A snapshot of everything that configures the process; the only reader of `os.environ`."""

import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from sidecar.config.environment import Environment, environment_of
from sidecar.config.finding import Finding, Rule, Severity, Sighting, weigh_all
from sidecar.config.naming import is_mounted_name, is_plain_name
from sidecar.config.text import tidy

PROCESS = "environment"
ENV_FILE = ".env"
MOUNTED_LIMIT_BYTES = 1024 * 1024

ENV06 = Rule(
    "ENV06",
    "`X` and `X_FILE` both set, a mounted file or `.env` that cannot be read",
    relaxed=Severity.WARNING,
    strict=Severity.REFUSE,
    refs=("12-factor III",),
)


class MountTooLargeError(ValueError):
    """A mounted file is larger than a secret can be."""


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


def compose(process: Mapping[str, str], directory: Path) -> Environ:
    """Put a snapshot together from the process's variables and the files they point to.

    The process environment wins over mounted files, and both over `.env`. Never raises for
    what is in a file or missing.
    """
    given = {name: value for name, value in process.items() if is_plain_name(name)}
    sightings: list[Sighting] = []
    variables: dict[str, Variable] = {}
    if _environment(given) is Environment.DEVELOPMENT:
        values, seen = _read_env_file(directory / ENV_FILE)
        variables = {name: Variable(name, value, ENV_FILE) for name, value in values.items()}
        sightings += seen
    own = {name: Variable(name, value) for name, value in given.items()}
    for layer in (variables, own):
        sightings += _mount(layer)
    variables |= own
    return Environ(
        variables,
        weigh_all(
            tuple(sightings), _environment({each: variables[each].value for each in variables})
        ),
    )


def _environment(values: Mapping[str, str]) -> Environment:
    return environment_of(tidy(values.get("ENVIRONMENT", "")))


def _mount(layer: dict[str, Variable]) -> list[Sighting]:
    """Replace each `NAME_FILE` of a layer by the `NAME` that its file holds."""
    sightings = []
    for pointer in [each for each in layer.values() if each.name.endswith("_FILE")]:
        name = pointer.name.removesuffix("_FILE")
        if not is_mounted_name(name) or not pointer.value.strip():
            continue
        if name in layer:
            sightings.append(_both_set(name, layer[name].source))
            continue
        try:
            layer[name] = Variable(
                name, _read_mounted(pointer.value.strip()), pointer.value.strip()
            )
        except (OSError, ValueError) as error:
            sightings.append(_unreadable_mount(pointer, _reason(error)))
    return sightings


def _read_mounted(path_text: str) -> str:
    path = Path(path_text)
    # A pipe or a device would block or never end; the type is asked before opening.
    if path.exists() and not path.is_file():
        raise IsADirectoryError
    with path.open("rb") as file:
        content = file.read(MOUNTED_LIMIT_BYTES + 1)
    if len(content) > MOUNTED_LIMIT_BYTES:
        raise MountTooLargeError
    return content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")


def _reason(error: Exception) -> str:
    """Say why a file could not be read, without its path and without its content.

    The path is left out because people put the secret itself into `NAME_FILE`.
    """
    reasons: dict[type[Exception], str] = {
        FileNotFoundError: "a file that does not exist",
        PermissionError: "a file that this user may not read",
        IsADirectoryError: "something that is not a regular file",
        MountTooLargeError: "a file larger than 1 MiB",
        UnicodeDecodeError: "a file that is not UTF-8 text",
    }
    return reasons.get(type(error), "a file that cannot be read")


def _both_set(name: str, source: str) -> Sighting:
    return Sighting(
        ENV06,
        name,
        f"{name} and {name}_FILE are both set; {name} is used.",
        f"Unset one of them: keep {name}_FILE for a mounted secret.",
        source,
        at_most=Severity.WARNING,
    )


def _unreadable_mount(pointer: Variable, reason: str) -> Sighting:
    name = pointer.name.removesuffix("_FILE")
    return Sighting(
        ENV06,
        pointer.name,
        f"{pointer.name} names {reason}.",
        f"Mount the file and let this user read it; a value itself belongs into {name}.",
        pointer.source,
    )


def _read_env_file(path: Path) -> tuple[dict[str, str], list[Sighting]]:
    try:
        if not path.exists():
            return {}, []
        text = _read_mounted(str(path))
    except (OSError, ValueError) as error:
        return {}, [_env_file_fault(f"{ENV_FILE} is {_reason(error)}.")]
    bindings = list(parse_stream(io.StringIO(text)))
    sound = "".join(each.original.string for each in bindings if not each.error)
    values = dotenv_values(stream=io.StringIO(sound))
    named = {name: value for name, value in values.items() if value and is_plain_name(name)}
    return named, _env_file_sightings(bindings)


def _env_file_sightings(bindings: list[Binding]) -> list[Sighting]:
    sightings = []
    lines: dict[str, int] = {}
    for binding in bindings:
        line = binding.original.line
        if binding.error:
            sightings.append(_env_file_fault(f"Line {line} of {ENV_FILE} is not NAME=value."))
        elif binding.key in lines:
            first = lines[binding.key]
            sightings.append(
                _env_file_fault(f"{binding.key} stands twice, in lines {first} and {line}.")
            )
        elif binding.key is not None:
            lines[binding.key] = line
    return sightings


def _env_file_fault(message: str) -> Sighting:
    return Sighting(
        ENV06,
        ENV_FILE,
        message,
        f"Put {ENV_FILE} right; it is read in development only.",
        ENV_FILE,
        at_most=Severity.WARNING,
    )
