"""One file as it was found: its text, and who would read it."""

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sidecar.config.bounded import STANDARD_INPUT, FileTooLargeError, read_bounded, read_named
from sidecar.config.fault import Fault
from sidecar.config.mount import reason_of
from sidecar.lint.source import kind, manifest
from sidecar.lint.source.builder import unusable
from sidecar.lint.source.kind import Pairs
from sidecar.lint.source.manifest import Documents

_LIMIT_BYTES = 8 * 1024 * 1024
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")
_YAML_ENDINGS = frozenset({".yaml", ".yml"})


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
        message = f"{self.source} is not UTF-8 text, in line {line}."
        return unusable(self.source, message, line, hint="Save the file as UTF-8.")


def load(path: Path, dialect: Dialect = Dialect.AUTO, *, by_file: bool = False) -> Loaded | Fault:
    """Read a file and find out what kind it is; what cannot be read becomes a fault.

    Args:
        path: The file, or `-`.
        dialect: Who would read it.
        by_file: Another file names it, not a person: pipes and devices are refused.
    """
    source = "standard input" if path == STANDARD_INPUT else str(path)
    try:
        # With undecodable bytes as lone surrogates, so that their line can be named.
        read = read_bounded if by_file else read_named
        text = read(path, _LIMIT_BYTES).decode("utf-8", "surrogateescape")
    except FileTooLargeError:
        return unusable(source, f"{source} is a file larger than 8 MiB.")
    except (OSError, ValueError) as error:
        hint = "Correct the name, or let this user read it: nothing of it can be judged."
        return unusable(source, f"{source} is {reason_of(error)}.", hint=hint)
    match _form(path, dialect, text):
        case Dialect.DOPPLER:
            return _load_json(path, source, text)
        case Dialect.COMPOSE:
            return _load_yaml(path, source, text)
        case form:
            return Loaded(path, source, form, text)


def _form(path: Path, dialect: Dialect, text: str) -> Dialect:
    """Return who would read the file: by its ending, its name or its text."""
    ending = path.suffix.lower()
    if dialect is not Dialect.AUTO:
        return Dialect.COMPOSE if dialect is Dialect.KUBERNETES else dialect
    if ending == ".json" or (ending not in _YAML_ENDINGS and kind.is_json(text)):
        return Dialect.DOPPLER
    if path.name.startswith(".env"):
        return Dialect.DOTENV
    return Dialect.COMPOSE if ending in _YAML_ENDINGS or kind.is_manifest(text) else Dialect.DOCKER


def _load_json(path: Path, source: str, text: str) -> Loaded | Fault:
    try:
        pairs = kind.pairs_of(text)
    except json.JSONDecodeError as error:
        message = f"{source} is not JSON, from line {error.lineno} on."
        return unusable(source, message, error.lineno)
    if pairs is None:
        return unusable(source, f"{source} is not an object of names and values.")
    if kind.is_for_yaml(pairs):
        return _load_yaml(path, source, text)
    named = kind.doppler_pairs(pairs)
    if named is None:
        message = f"{source} is JSON of a kind that is not read here."
        hint = "Give names with their values, a Kubernetes manifest or a compose file."
        return unusable(source, message, hint=hint)
    return Loaded(path, source, Dialect.DOPPLER, text, pairs=named)


def _load_yaml(path: Path, source: str, text: str) -> Loaded | Fault:
    if kind.is_template(text):
        hint = f"Render it first: helm template ... | sidecar check --env-file {STANDARD_INPUT}"
        return unusable(source, f"{source} is a template that Helm has not filled in.", hint=hint)
    try:
        nodes = manifest.documents(text)
    except manifest.ManifestError as error:
        place = "" if error.line is None else f", from line {error.line} on"
        hint = "Render templates first; for anything else, put the file right."
        return unusable(source, f"{source} is not YAML{place}.", error.line, hint=hint)
    if kind.is_kustomization(nodes):
        hint = "Render it first: kubectl kustomize ... | sidecar check --env-file -"
        return unusable(
            source, f"{source} is a kustomization, which only kustomize can read.", hint=hint
        )
    if kind.is_compose(nodes):
        return Loaded(path, source, Dialect.COMPOSE, text, nodes)
    if kind.is_kubernetes(nodes):
        return Loaded(path, source, Dialect.KUBERNETES, text, nodes)
    message = f"{source} is neither a compose file nor a Kubernetes manifest."
    hint = "Values of a chart are judged once they are rendered: helm template ..."
    return unusable(source, message, hint=hint)
