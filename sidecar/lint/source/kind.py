"""What kind of file a text is, going by its content."""

import json
import re
from typing import cast

from yaml.nodes import Node

from sidecar.config.variable_name import is_plain_name
from sidecar.lint.source.manifest import Documents, child, text_of

# Only Helm knows these; other templates, such as those of Alertmanager, are ordinary values.
_HELM = re.compile(
    r"\{\{-?\s*(?:[\w\"'. ]+\|?\s*)?[($]*\s*(?:\.Values|\.Release|\.Chart|include\s)\b"
)
_MANIFEST = re.compile(r"^(?:apiVersion|kind|services)[ \t]*:", re.MULTILINE)
_KUSTOMIZATIONS = frozenset({"Kustomization", "Component"})
_OF_KUSTOMIZE = ("secretGenerator", "configMapGenerator", "patches", "patchesStrategicMerge")
_OF_DOPPLER = frozenset({"computed", "raw", "computedVisibility", "rawVisibility", "note"})

Pairs = list[tuple[str, object]]
"""A JSON object: names with their values, also where a name stands twice."""


def is_json(text: str) -> bool:
    """Return True for an object in JSON, False for lines of an env file."""
    return text.lstrip("\ufeff \t\r\n").startswith("{")


def is_manifest(text: str) -> bool:
    """Return True for YAML of compose or Kubernetes, False for lines of an env file."""
    return _MANIFEST.search(text) is not None


def is_compose(nodes: Documents) -> bool:
    """Return True for a compose file."""
    return any(child(node, "services") is not None for node in nodes)


def is_kubernetes(nodes: Documents) -> bool:
    """Return True for a manifest."""
    return any(text_of(child(node, "kind")) for node in nodes)


def is_template(text: str) -> bool:
    """Return True for a chart's template, which Helm has yet to fill in."""
    return _HELM.search(text) is not None


def is_kustomization(nodes: Documents) -> bool:
    """Return True for what kustomize builds from, not for what it builds."""
    return any(_is_kustomization(node) for node in nodes)


def is_for_yaml(pairs: Pairs) -> bool:
    """Return True for JSON of compose or Kubernetes: YAML's reader takes it, with its lines."""
    names = {name for name, _ in pairs}
    return "services" in names or {"kind", "apiVersion"} <= names


def doppler_pairs(pairs: Pairs) -> Pairs | None:
    """Return names and values; `None` for JSON of any other kind, such as a task definition."""
    answer = dict(pairs).get("secrets")
    named = cast("Pairs", answer) if is_object(answer) else pairs
    is_doppler = all(is_plain_name(name) and _is_doppler_value(value) for name, value in named)
    return named if is_doppler else None


def pairs_of(text: str) -> Pairs | None:
    """Parse JSON; `None` for what is no object.

    Raises:
        json.JSONDecodeError: It is not JSON.
    """
    try:
        found = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=list)
    except RecursionError:
        return None
    return found if is_object(found) else None


def is_object(value: object) -> bool:
    """Return True for an object, False for a list, in JSON that was parsed into pairs."""
    return isinstance(value, list) and all(isinstance(each, tuple) for each in value)


def fields_of(value: object) -> dict[str, object]:
    """Return an object's members by name; none for what is no object."""
    return dict(cast("Pairs", value)) if is_object(value) else {}


def _is_doppler_value(value: object) -> bool:
    if not isinstance(value, list):
        return True
    return bool(value) and bool(fields_of(value)) and fields_of(value).keys() <= _OF_DOPPLER


def _is_kustomization(node: Node) -> bool:
    kind = text_of(child(node, "kind"))
    return kind in _KUSTOMIZATIONS or (
        not kind and any(child(node, name) is not None for name in _OF_KUSTOMIZE)
    )
