"""Files that a container finds in its volumes, from Secrets and ConfigMaps of the manifests."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from yaml.nodes import Node

from sidecar.config.variable import Variable
from sidecar.lint.source.kubernetes_store import Store, Stores
from sidecar.lint.source.manifest import child, items, text_of

_NAMES = {"secret": ("Secret", "secretName"), "configMap": ("ConfigMap", "name")}


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
        for key, (kind, name_key) in _NAMES.items():
            node = child(each, key)
            # A projected volume calls a Secret by `name`, as an `env` entry does.
            name = text_of(child(node, name_key)) or text_of(child(node, "name"))
            store = stores.find(kind, namespace, name) if name else None
            if store is not None:
                yield from _chosen(store, child(node, "items"))


def _chosen(store: Store, chosen: Node | None) -> Iterator[tuple[str, Variable]]:
    if chosen is None:
        yield from store.values.items()
    for each in items(chosen):
        key = text_of(child(each, "key"))
        if key in store.values:
            yield text_of(child(each, "path")), replace(store.values[key], name=key)
