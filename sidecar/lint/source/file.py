"""One file as it was found: its text, and who would read it."""

import json
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import yaml
from yaml.nodes import Node

from sidecar.config.bounded import STANDARD_INPUT, FileTooLargeError, read_bounded, read_named
from sidecar.config.fault import Fault
from sidecar.config.mount import reason_of
from sidecar.lint.source import doppler
from sidecar.lint.source.builder import unusable
from sidecar.lint.source.doppler import Pairs
from sidecar.lint.source.manifest import Documents, child, documents, text_of

_LIMIT_BYTES = 8 * 1024 * 1024
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")
_YAML_ENDINGS = frozenset({".yaml", ".yml"})
_OF_MANIFESTS = re.compile(r"^(?:apiVersion|kind|services)[ \t]*:", re.MULTILINE)
# Only Helm knows these; other templates, such as those of Alertmanager, are ordinary values.
_OF_HELM = re.compile(
    r"\{\{-?\s*(?:[\w\"'. ]+\|?\s*)?[($]*\s*(?:\.Values|\.Release|\.Chart|include\s)\b"
)
_KUSTOMIZATIONS = frozenset({"Kustomization", "Component"})
_OF_KUSTOMIZE = ("secretGenerator", "configMapGenerator", "patches", "patchesStrategicMerge")


class Dialect(StrEnum):
    """Who would read the file; `auto` goes by its name and content."""

    AUTO = "auto"
    DOCKER = "docker"
    DOTENV = "dotenv"
    COMPOSE = "compose"
    KUBERNETES = "kubernetes"
    DOPPLER = "doppler"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that can be read.

    Attributes:
        source: What to call it.
        dialect: Who would read it; never `auto`.
        text: With undecodable bytes as lone surrogates, so that their line can be named.
        nodes: The documents of a compose file or of manifests.
        pairs: The names and values of Doppler's JSON.
    """

    path: Path
    source: str
    dialect: Dialect
    text: str = field(repr=False)
    nodes: Documents = field(default_factory=list, repr=False)
    pairs: Pairs = field(default_factory=list, repr=False)

    @property
    def is_manifest(self) -> bool:
        """Whether it starts workloads, rather than being the environment of one."""
        return self.dialect in {Dialect.COMPOSE, Dialect.KUBERNETES}

    @property
    def undecodable(self) -> Fault | None:
        """What to say of bytes that are no text; the rest can be judged."""
        found = _NOT_UTF8.search(self.text)
        if found is None:
            return None
        line = self.text.count("\n", 0, found.start()) + 1
        hint = "Save the file as UTF-8."
        return unusable(self.source, f"is not UTF-8 text, in line {line}.", line, hint=hint)


def load(path: Path, dialect: Dialect = Dialect.AUTO, *, by_file: bool = False) -> Loaded | Fault:
    """Read a file and find out what kind it is; what cannot be read becomes a fault.

    Where another file names it, not a person (`by_file`), pipes and devices are refused.
    """
    source = "standard input" if path == STANDARD_INPUT else str(path)
    try:
        read = read_bounded if by_file else read_named
        text = read(path, _LIMIT_BYTES).decode("utf-8", "surrogateescape")
    except FileTooLargeError:
        return unusable(source, "is a file larger than 8 MiB.")
    except (OSError, ValueError) as error:
        hint = "Correct the name, or let this user read it: nothing of it can be judged."
        return unusable(source, f"is {reason_of(error)}.", hint=hint)
    found = Loaded(path, source, _form(path, dialect, text), text)
    match found.dialect:
        case Dialect.DOPPLER:
            return _load_json(found)
        case Dialect.COMPOSE:
            return _load_yaml(found)
        case _:
            return found


def _form(path: Path, dialect: Dialect, text: str) -> Dialect:
    """Return who would read the file, by its ending, its name or its text; compose for any YAML."""
    ending = path.suffix.lower()
    if dialect is not Dialect.AUTO:
        return Dialect.COMPOSE if dialect is Dialect.KUBERNETES else dialect
    is_json = text.lstrip("\ufeff \t\r\n").startswith("{")
    if ending == ".json" or (ending not in _YAML_ENDINGS and is_json):
        return Dialect.DOPPLER
    if path.name.startswith(".env"):
        return Dialect.DOTENV
    is_yaml = ending in _YAML_ENDINGS or _OF_MANIFESTS.search(text)
    return Dialect.COMPOSE if is_yaml else Dialect.DOCKER


def _load_json(file: Loaded) -> Loaded | Fault:
    try:
        pairs = doppler.parse(file.text)
    except json.JSONDecodeError as error:
        line = error.lineno
        return unusable(file.source, f"is not JSON, from line {line} on.", line)
    if pairs is None:
        return unusable(file.source, "is not an object of names and values.")
    names = {name for name, _ in pairs}
    if "services" in names or {"kind", "apiVersion"} <= names:
        # YAML's reader takes JSON, too, and knows the lines.
        return _load_yaml(file)
    named = doppler.secrets_in(pairs)
    if named is None:
        hint = "Give names with their values, a Kubernetes manifest or a compose file."
        return unusable(file.source, "is JSON of a kind that is not read here.", hint=hint)
    return replace(file, pairs=named)


def _load_yaml(file: Loaded) -> Loaded | Fault:
    if _OF_HELM.search(file.text):
        hint = f"Render it first: helm template ... | sidecar check --env-file {STANDARD_INPUT}"
        return unusable(file.source, "is a template that Helm has not filled in.", hint=hint)
    try:
        nodes = documents(file.text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        place = "" if line is None else f", from line {line} on"
        hint = "Render templates first; for anything else, put the file right."
        return unusable(file.source, f"is not YAML{place}.", line, hint=hint)
    if any(map(_is_kustomization, nodes)):
        hint = "Render it first: kubectl kustomize ... | sidecar check --env-file -"
        what = "is a kustomization, which only kustomize can read."
        return unusable(file.source, what, hint=hint)
    if any(child(node, "services") is not None for node in nodes):
        return replace(file, dialect=Dialect.COMPOSE, nodes=nodes)
    if any(text_of(child(node, "kind")) for node in nodes):
        return replace(file, dialect=Dialect.KUBERNETES, nodes=nodes)
    hint = "Values of a chart are judged once they are rendered: helm template ..."
    return unusable(file.source, "is neither a compose file nor a Kubernetes manifest.", hint=hint)


def _is_kustomization(node: Node) -> bool:
    """Return True for what kustomize builds from, not for what it builds."""
    kind = text_of(child(node, "kind"))
    return kind in _KUSTOMIZATIONS or (
        not kind and any(child(node, name) is not None for name in _OF_KUSTOMIZE)
    )
