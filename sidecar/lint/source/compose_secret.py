"""Secrets that compose mounts into a service: files of the project, or variables of the shell."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from sidecar.config.mount import read_text
from sidecar.config.variable import Variable
from sidecar.lint.source.compose_project import Definition
from sidecar.lint.source.interpolation import Filling
from sidecar.lint.source.manifest import child, items, line_of, text_of

_DIRECTORY = "/run/secrets"


def files_of(definitions: Sequence[Definition]) -> dict[str, Variable]:
    """Return what is in each file, by its path in the container; what is not here is left out."""
    return dict(entry for each in definitions for entry in _mounted(each))


def _mounted(definition: Definition) -> Iterator[tuple[str, Variable]]:
    for each in items(child(definition.node, "secrets")):
        name = text_of(each) or text_of(child(each, "source"))
        held = _held(name, definition)
        if held is not None:
            yield str(PurePosixPath(_DIRECTORY, text_of(child(each, "target")) or name)), held


def _held(name: str, definition: Definition) -> Variable | None:
    file = definition.file
    declared = next((found for node in file.nodes if (found := child(node, "secrets", name))), None)
    if declared is None:
        return None
    path = Filling(file.shell).fill(text_of(child(declared, "file")))
    given = file.shell.get(text_of(child(declared, "environment")))
    if given is not None:
        return Variable(name, given, file.source, line_of(declared))
    try:
        # A pipeline seldom has the secrets themselves: then they are promised.
        place = str(file.directory / path)
        return Variable(name, read_text(place), place) if path else None
    except (OSError, ValueError):
        return None
