"""Secrets and ConfigMaps of manifests: as variables, and as files in volumes."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from yaml.nodes import Node

from sidecar.config.fault import Fault, FaultKind
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_plain_name
from sidecar.lint.source.builder import WorkloadBuilder, shown
from sidecar.lint.source.manifest import child, entries, items, line_of, text_of

_KINDS = frozenset({"Secret", "ConfigMap"})
_VOLUMES = {"secret": ("Secret", "secretName"), "configMap": ("ConfigMap", "name")}


@dataclass(frozen=True, slots=True)
class Store:
    """A Secret or ConfigMap.

    Attributes:
        values: By key; a variable is called like the key.
        unreadable: Keys whose values are not known.
    """

    kind: str
    name: str
    values: dict[str, Variable] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()

    def lacks(self, key: str) -> bool:
        """Return True when a key is missing; a store without any is filled in the cluster."""
        keys = self.values.keys() | self.unreadable
        return bool(keys) and key not in keys

    def variables(self, prefix: str) -> Iterator[Variable]:
        """Yield what a container gets by `envFrom`: keys that no shell could set are left out."""
        for key, variable in self.values.items():
            if is_plain_name(prefix + key):
                yield replace(variable, name=prefix + key)


class Stores:
    """Every Secret and ConfigMap of files that are applied together."""

    def __init__(self) -> None:
        self._stores: dict[tuple[str, str, str], Store] = {}

    def take(self, node: Node, source: str) -> list[Fault]:
        """Keep a store, and return what of it is not base64; anything else is ignored."""
        kind = text_of(child(node, "kind"))
        if kind not in _KINDS:
            return []
        name = text_of(child(node, "metadata", "name"))
        values: dict[str, Variable] = {}
        faults: dict[str, Fault] = {}
        for key, value in entries(child(node, "data")).items():
            text = text_of(value)
            decoded = _decode(text) if kind == "Secret" else text
            if decoded is None:
                faults[key] = _not_base64(shown(key), shown(name), source, line_of(value))
            else:
                values[key] = Variable(key, decoded, source, line_of(value))
        for key, value in entries(child(node, "stringData")).items():
            values[key] = Variable(key, text_of(value), source, line_of(value))
        namespace = text_of(child(node, "metadata", "namespace"))
        self._stores[kind, namespace, name] = Store(kind, shown(name), values, frozenset(faults))
        return list(faults.values())

    def find(self, kind: str, namespace: str, name: str) -> Store | None:
        """Return the store that a container of the namespace means; `None` for one without a name.

        One without a namespace of its own goes where it is applied to, which may be that one.
        """
        if not name:
            return None
        return self._stores.get((kind, namespace, name)) or self._stores.get((kind, "", name))

    def workloads(self) -> Iterator[WorkloadBuilder]:
        """Yield each store as an environment of which more may come from elsewhere."""
        for (_, namespace, _), store in self._stores.items():
            builder = WorkloadBuilder(_called(store, namespace), promised={"*"})
            for variable in store.variables(""):
                builder.set(variable)
                builder.source, builder.line = variable.source, variable.line
            if builder.variables:
                yield builder


def files_of(
    pod: Node | None, container: Node, namespace: str, stores: Stores
) -> dict[str, Variable]:
    """Return what is in each file, by its path in the container; what others fill is left out."""
    volumes = {text_of(child(each, "name")): each for each in items(child(pod, "volumes"))}
    found: dict[str, Variable] = {}
    for mount in items(child(container, "volumeMounts")):
        volume = volumes.get(text_of(child(mount, "name")))
        held = dict(_files_in(volume, namespace, stores))
        found |= _placed(held, text_of(child(mount, "mountPath")), text_of(child(mount, "subPath")))
    return found


def _placed(held: Mapping[str, Variable], mount: str, sub_path: str) -> dict[str, Variable]:
    if sub_path:
        return {mount: held[sub_path]} if sub_path in held else {}
    return {str(PurePosixPath(mount, name)): variable for name, variable in held.items()}


def _files_in(
    volume: Node | None, namespace: str, stores: Stores
) -> Iterator[tuple[str, Variable]]:
    for each in (volume, *items(child(volume, "projected", "sources"))):
        for key, (kind, name_key) in _VOLUMES.items():
            node = child(each, key)
            # A projected volume calls a Secret by `name`, as an `env` entry does.
            name = text_of(child(node, name_key)) or text_of(child(node, "name"))
            store = stores.find(kind, namespace, name)
            if store is not None:
                yield from _chosen(store, child(node, "items"))


def _chosen(store: Store, chosen: Node | None) -> Iterator[tuple[str, Variable]]:
    if chosen is None:
        yield from store.values.items()
    for each in items(chosen):
        key = text_of(child(each, "key"))
        if key in store.values:
            yield text_of(child(each, "path")), replace(store.values[key], name=key)


def _called(store: Store, namespace: str) -> str:
    name = f"{store.kind.lower()}/{store.name}"
    return f"namespace {shown(namespace)} > {name}" if namespace else name


def _decode(text: str) -> str | None:
    try:
        decoded = base64.b64decode("".join(text.split()), validate=True)
        return decoded.decode("utf-8", "surrogateescape")
    except ValueError:
        return None


def _not_base64(key: str, name: str, source: str, line: int) -> Fault:
    message = f"{key} of Secret {name} is not base64, in line {line}."
    hint = "Encode it (printf %s VALUE | base64), or move it to stringData."
    return Fault(FaultKind.FILE, source, message, hint, source, line)
