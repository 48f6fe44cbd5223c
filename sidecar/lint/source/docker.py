"""Files for `docker run --env-file`: a name, `=`, and everything behind it, quotes included."""

from collections.abc import Mapping

from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_plain_name
from sidecar.lint.source.builder import WorkloadBuilder, marked, unusable


def read(text: str, source: str, shell: Mapping[str, str]) -> WorkloadBuilder:
    """Read the lines as docker does; a name alone takes its value from the shell.

    Args:
        text: The file, with undecodable bytes as lone surrogates.
        source: What to call the file.
        shell: The environment that docker would be run in.
    """
    builder = WorkloadBuilder()
    lines = text.removeprefix("\ufeff").split("\n")
    _mark(builder, text, lines, source)
    for number, line in enumerate(lines, start=1):
        entry = line.removesuffix("\r").lstrip()
        if entry and not entry.startswith("#"):
            _take(builder, entry, source, number, shell)
    return builder


def _take(
    builder: WorkloadBuilder, entry: str, source: str, number: int, shell: Mapping[str, str]
) -> None:
    name, equals, value = entry.partition("=")
    bare = name.strip()
    if not is_plain_name(bare) or (equals and bare != name):
        # The line may be a secret without its name: nothing of it is repeated.
        hint = "Write NAME=value without blanks before the sign, or put # first for a comment."
        fault = unusable(source, f"Line {number} of {source} is not NAME=value.", number, hint=hint)
        builder.faults.append(fault)
    elif equals:
        builder.put(Variable(bare, value, source, number))
    elif bare in shell:
        builder.put(Variable(bare, shell[bare], source, number))


def _mark(builder: WorkloadBuilder, text: str, lines: list[str], source: str) -> None:
    if text.startswith("\ufeff"):
        hint = "Save the file as UTF-8 without BOM."
        message = f"{source} begins with a byte order mark, at line 1."
        builder.faults.append(marked(source, message, hint, 1))
    first = next((number for number, line in enumerate(lines, 1) if line.endswith("\r")), None)
    if first is not None:
        hint = "Save the file with Unix line ends (dos2unix); a shell keeps them in the value."
        message = f"{source} has Windows line ends, from line {first} on."
        builder.faults.append(marked(source, message, hint, first))
