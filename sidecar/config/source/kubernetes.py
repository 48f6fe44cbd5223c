"""Kubernetes manifests: `env` and `envFrom` of containers, with Secrets and ConfigMaps."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from yaml.nodes import Node

from sidecar.config.naming import is_plain_name
from sidecar.config.opaque import is_opaque, opaque
from sidecar.config.source.manifest import Documents, child, entries, items, line_of, text_of
from sidecar.config.source.reading import Reading, unusable
from sidecar.config.variable import Variable

_POD_PATHS = (
    ("spec",),
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
)
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)")
_KEY_REFERENCES = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}
_WHOLE_REFERENCES = {"secretRef": "Secret", "configMapRef": "ConfigMap"}

Store = dict[tuple[str, str], dict[str, tuple[str, int]]]
"""Values and lines by key, of each Secret and ConfigMap by kind and name."""


@dataclass(slots=True)
class _Reader:
    source: str
    reading: Reading
    stores: Store = field(default_factory=dict)


def is_kubernetes(nodes: Documents) -> bool:
    """Tell a manifest from other YAML."""
    return any(text_of(child(node, "kind")) for node in nodes)


def read(nodes: Documents, source: str, container: str | None = None) -> Reading:
    """Read what the containers would be given; without a container, what the stores hold.

    What comes from a Secret or ConfigMap that is not in the file is promised, not judged.
    """
    reader = _Reader(source, Reading())
    objects = list(_objects(nodes))
    for each in objects:
        _store(reader, each)
    containers = [each for node in objects for each in _containers(node)]
    wanted = [each for each in containers if container in {None, text_of(child(each, "name"))}]
    for each in wanted:
        _read_container(reader, each)
    if not containers:
        for values in reader.stores.values():
            _put_all(reader, values, "")
    elif not wanted:
        names = ", ".join(text_of(child(each, "name")) for each in containers)
        message = f"{source} has no such container; it has {names}."
        reader.reading.sightings.append(unusable(source, message))
    return reader.reading


def _objects(nodes: Documents) -> Iterator[Node]:
    for node in nodes:
        if text_of(child(node, "kind")).endswith("List"):
            yield from items(child(node, "items"))
        else:
            yield node


def _store(reader: _Reader, node: Node) -> None:
    kind = text_of(child(node, "kind"))
    if kind not in {"Secret", "ConfigMap"}:
        return
    name = text_of(child(node, "metadata", "name"))
    values: dict[str, tuple[str, int]] = {}
    for key, value in entries(child(node, "data")):
        text = text_of(value)
        decoded = _decode(text) if kind == "Secret" else text
        if decoded is None:
            message = f"{key} of Secret {name} is not base64, in line {line_of(value)}."
            hint = "Encode it (printf %s VALUE | base64), or move it to stringData."
            reader.reading.sightings.append(
                unusable(reader.source, message, line_of(value), hint=hint)
            )
        else:
            values[key] = decoded, line_of(value)
    for key, value in entries(child(node, "stringData")):
        values[key] = text_of(value), line_of(value)
    reader.stores[kind, name] = values


def _decode(text: str) -> str | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode(
            "utf-8", "surrogateescape"
        )
    except (binascii.Error, ValueError):
        return None


def _containers(node: Node) -> Iterator[Node]:
    for path in _POD_PATHS:
        pod = child(node, *path)
        yield from items(child(pod, "containers"))
        yield from items(child(pod, "initContainers"))


def _read_container(reader: _Reader, node: Node) -> None:
    for each in items(child(node, "envFrom")):
        prefix = text_of(child(each, "prefix"))
        for reference, kind in _WHOLE_REFERENCES.items():
            name = text_of(child(each, reference, "name"))
            if name and (kind, name) in reader.stores:
                _put_all(reader, reader.stores[kind, name], prefix)
            elif name:
                # Any variable may be in there: nothing can be called missing.
                reader.reading.promised.add("*")
    for each in items(child(node, "env")):
        _read_entry(reader, each)


def _read_entry(reader: _Reader, node: Node) -> None:
    name = text_of(child(node, "name"))
    if not is_plain_name(name):
        return
    given = child(node, "value")
    reference = child(node, "valueFrom")
    if given is not None:
        value = _expand(text_of(given), reader.reading)
        if is_opaque(value):
            reader.reading.promised.add(name)
        else:
            _put(reader, name, value, line_of(given))
    elif reference is not None:
        found = _referred(reader, reference)
        if found is None:
            reader.reading.promised.add(name)
        else:
            _put(reader, name, *found)


def _referred(reader: _Reader, node: Node) -> tuple[str, int] | None:
    for reference, kind in _KEY_REFERENCES.items():
        values = reader.stores.get((kind, text_of(child(node, reference, "name"))), {})
        found = values.get(text_of(child(node, reference, "key")))
        if found is not None:
            return found
    return None


def _put_all(reader: _Reader, values: Mapping[str, tuple[str, int]], prefix: str) -> None:
    for key, (value, line) in values.items():
        if is_plain_name(prefix + key):
            _put(reader, prefix + key, value, line)


def _put(reader: _Reader, name: str, value: str, line: int) -> None:
    reader.reading.variables[name] = Variable(name, value, reader.source, line)


def _expand(text: str, reading: Reading) -> str:
    """Fill `$(NAME)` in; one that is not defined before stays as it is, as in the cluster."""

    def fill(found: re.Match[str]) -> str:
        name = found.group(1)
        if name is None:
            return "$"
        variable = reading.variables.get(name)
        if variable is not None:
            return variable.value
        return opaque(name) if name in reading.promised else found.group()

    return _REFERENCE.sub(fill, text)
