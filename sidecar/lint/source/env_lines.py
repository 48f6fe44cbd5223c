"""Env files line by line: as docker reads them, and as compose does."""

import io
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence

from dotenv.parser import Binding, parse_stream

from sidecar.config.dotenv import faults_of
from sidecar.config.fault import Fault, FaultKind
from sidecar.config.severity import Severity
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_plain_name
from sidecar.lint.source.builder import WorkloadBuilder
from sidecar.lint.source.file import Loaded
from sidecar.lint.source.interpolation import Filling, lost_reference


def read_for_docker(file: Loaded, shell: Mapping[str, str]) -> WorkloadBuilder:
    """Read a name, `=`, and everything behind it, quotes included.

    A name alone takes its value from the shell that docker would be run in.
    """
    builder = WorkloadBuilder()
    lines = file.text.removeprefix("\ufeff").split("\n")
    builder.faults += _marks(file, lines)
    for number, line in enumerate(lines, start=1):
        entry = line.removesuffix("\r").lstrip()
        name, equals, value = entry.partition("=")
        bare = name.strip()
        if not entry or entry.startswith("#"):
            continue
        if not is_plain_name(bare) or (equals and bare != name):
            builder.faults.append(_no_assignment(file.source, number))
        elif equals or bare in shell:
            given = value if equals else shell[bare]
            builder.put(Variable(bare, given, file.source, number))
    return builder


def _no_assignment(source: str, line: int) -> Fault:
    # The line may be a secret without its name: nothing of it is repeated.
    message = f"Line {line} of {source} is not NAME=value."
    hint = "Write NAME=value without blanks before the sign, or put # first for a comment."
    return Fault(FaultKind.FILE, source, message, hint, source, line)


def _marks(file: Loaded, lines: Sequence[str]) -> Iterator[Fault]:
    """Yield what an editor left in a file."""
    if file.text.startswith("\ufeff"):
        hint = "Save the file as UTF-8 without BOM."
        yield _mark(file.source, "begins with a byte order mark, at line 1.", hint, 1)
    first = next((number for number, line in enumerate(lines, 1) if line.endswith("\r")), None)
    if first is not None:
        hint = "Save the file with Unix line ends (dos2unix); a shell keeps them in the value."
        yield _mark(file.source, f"has Windows line ends, from line {first} on.", hint, first)


def _mark(source: str, what: str, hint: str, line: int) -> Fault:
    message = f"{source} {what}"
    return Fault(FaultKind.MARK, source, message, hint, source, line, Severity.WARNING)


def read_for_compose(file: Loaded, shell: Mapping[str, str]) -> WorkloadBuilder:
    """Read every line that is sound, like dotenv, but every `$` begins a reference.

    A name alone takes its value from the shell, a reference from there before earlier lines.
    """
    builder = WorkloadBuilder()
    bindings = list(parse_stream(io.StringIO(file.text.removeprefix("\ufeff"))))
    known: dict[str, str] = {}
    around = ChainMap(dict(shell), known)
    for binding in bindings:
        name = binding.key
        if name is None or binding.error or not is_plain_name(name):
            continue
        filling = Filling(around)
        value = shell.get(name) if binding.value is None else _value(binding, filling)
        if value is None:
            continue
        known[name] = value
        builder.set(Variable(name, value, file.source, binding.original.line))
        if filling.lost:
            builder.faults.append(lost_reference(name, file.source, binding.original.line))
    builder.faults += faults_of(bindings, file.source)
    return builder


def _value(binding: Binding, filling: Filling) -> str:
    value = binding.value or ""
    given = binding.original.string.partition("=")[2].lstrip()
    if given.startswith("'"):
        return value
    return filling.fill(value.replace("\\$", "$$"))
