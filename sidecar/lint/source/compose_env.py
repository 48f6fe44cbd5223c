"""Files that compose reads for `env_file`: like dotenv, but every `$` begins a reference."""

import io
from collections import ChainMap
from collections.abc import Mapping

from dotenv.parser import Binding, parse_stream

from sidecar.config.dotenv import faults_of
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_plain_name
from sidecar.lint.source.builder import WorkloadBuilder
from sidecar.lint.source.interpolation import Filling, lost_reference


def read(text: str, source: str, shell: Mapping[str, str]) -> WorkloadBuilder:
    """Read every line that is sound; a name alone takes its value from the shell.

    Args:
        text: The file.
        source: What to call it.
        shell: What references are filled in from, before earlier lines of the file.
    """
    builder = WorkloadBuilder()
    bindings = list(parse_stream(io.StringIO(text.removeprefix("\ufeff"))))
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
        builder.set(Variable(name, value, source, binding.original.line))
        if filling.lost:
            builder.faults.append(lost_reference(name, source, binding.original.line))
    builder.faults += faults_of(bindings, source)
    return builder


def _value(binding: Binding, filling: Filling) -> str:
    value = binding.value or ""
    given = binding.original.string.partition("=")[2].lstrip()
    if given.startswith("'"):
        return value
    return filling.fill(value.replace("\\$", "$$"))
