"""Files as python-dotenv reads them: quotes, comments and references."""

import io
from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import parse_variables

from sidecar.config.fault import Fault, FaultKind
from sidecar.config.filling import join_bounded
from sidecar.config.mount import read_text, reason_of
from sidecar.config.severity import Severity
from sidecar.config.variable import ENV_FILE, Variable
from sidecar.config.variable_name import is_plain_name


def read(
    text: str, source: str, shell: Mapping[str, str] | None = None
) -> tuple[dict[str, Variable], list[Fault]]:
    """Return the variables of sound lines, and what is wrong by line; the last value wins.

    `${NAME}` is taken from earlier lines, and else from the shell.
    """
    variables: dict[str, Variable] = {}
    bindings = list(parse_stream(io.StringIO(text.removeprefix("\ufeff"))))
    known: dict[str, str | None] = {}
    given: dict[str, str | None] = dict(shell or {})
    around = ChainMap(known, given)
    for binding in bindings:
        name = binding.key
        if name is None or binding.error:
            continue
        known[name] = value = _resolved(binding.value, around)
        variables.pop(name, None)
        if value and is_plain_name(name):
            variables[name] = Variable(name, value, source, binding.original.line)
    return variables, faults_of(bindings, source)


def read_file(path: Path, shell: Mapping[str, str]) -> tuple[dict[str, Variable], list[Fault]]:
    """Read the `.env` of a developer's working directory; a missing one has nothing in it."""
    try:
        if not path.exists():
            return {}, []
        text = read_text(str(path))
    except (OSError, ValueError) as error:
        hint = f"Put {ENV_FILE} right; it is read in development only."
        message = f"{ENV_FILE} is {reason_of(error)}."
        fault = Fault(FaultKind.FILE, ENV_FILE, message, hint, ENV_FILE, at_most=Severity.WARNING)
        return {}, [fault]
    return read(text, ENV_FILE, shell)


def faults_of(bindings: Sequence[Binding], source: str) -> list[Fault]:
    """Return the lines that are no assignment, and names that stand twice."""
    faults = []
    lines: dict[str, int] = {}
    for binding in bindings:
        line = binding.original.line
        if binding.error:
            message = f"Line {line} of {source} is not NAME=value."
            faults.append(_fault(source, source, message, line))
        elif binding.key in lines:
            message = f"{binding.key} stands twice, in lines {lines[binding.key]} and {line}."
            faults.append(_fault(source, binding.key, message, line))
        elif binding.key is not None:
            lines[binding.key] = line
    return faults


def _resolved(value: str | None, around: Mapping[str, str | None]) -> str | None:
    if value is None:
        return None
    return join_bounded(atom.resolve(around) for atom in parse_variables(value))


def _fault(source: str, field: str, message: str, line: int) -> Fault:
    hint = f"Put {source} right."
    return Fault(FaultKind.FILE, field, message, hint, source, line, Severity.WARNING)
