"""Compose files: `environment` and `env_file` of their services."""

from collections.abc import Callable, Iterator, Mapping

from yaml.nodes import Node

from sidecar.config.naming import is_plain_name
from sidecar.config.source.interpolation import interpolate
from sidecar.config.source.manifest import (
    Documents,
    child,
    entries,
    is_null,
    items,
    line_of,
    text_of,
)
from sidecar.config.source.reading import Reading, unusable
from sidecar.config.variable import Variable

ReadEnvFile = Callable[[str], Reading]
"""Reads a file that `env_file` names, relative to the compose file."""


def is_compose(nodes: Documents) -> bool:
    """Tell a compose file from other YAML."""
    return any(child(node, "services") is not None for node in nodes)


def read(
    nodes: Documents,
    source: str,
    shell: Mapping[str, str],
    read_env_file: ReadEnvFile,
    service: str | None = None,
) -> Reading:
    """Read what the services would be given; of two services the first decides.

    Args:
        nodes: The parsed file.
        source: What to call it.
        shell: What `${NAME}` is filled in from.
        read_env_file: Reads what `env_file` names.
        service: Read this one only.
    """
    reading = Reading()
    services = [entry for node in nodes for entry in entries(child(node, "services"))]
    wanted = [entry for entry in services if service in {None, entry[0]}]
    if service is not None and not wanted:
        names = ", ".join(name for name, _ in services) or "none"
        reading.sightings.append(unusable(source, f"{source} has no such service; it has {names}."))
    for _, node in wanted:
        for variable in _of_service(node, source, shell, read_env_file, reading):
            reading.variables.setdefault(variable.name, variable)
    return reading


def pairs(node: Node | None) -> Iterator[tuple[str, Node, str | None]]:
    """Give name, node and value of `environment`, a mapping or a list; no value is `None`."""
    for name, value in entries(node):
        yield name, value, None if is_null(value) else text_of(value)
    for item in items(node):
        name, equals, text = text_of(item).partition("=")
        yield name, item, text if equals else None


def _of_service(
    node: Node,
    source: str,
    shell: Mapping[str, str],
    read_env_file: ReadEnvFile,
    reading: Reading,
) -> list[Variable]:
    found: dict[str, Variable] = {}
    for path in _env_files(child(node, "env_file")):
        nested = read_env_file(interpolate(path, shell))
        found |= nested.variables
        reading.sightings += nested.sightings
    for name, value_node, value in pairs(child(node, "environment")):
        given = shell.get(name) if value is None else interpolate(value, shell)
        if given is not None and is_plain_name(name):
            found[name] = Variable(name, given, source, line_of(value_node))
    return list(found.values())


def _env_files(node: Node | None) -> list[str]:
    members = items(node) or ((node,) if node is not None else ())
    return [path for each in members if (path := text_of(each) or text_of(child(each, "path")))]
