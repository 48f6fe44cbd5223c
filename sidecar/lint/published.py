"""Secrets that everybody can look up: known by their digests, for the values stay out of here."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

_LONGEST = 4096
_LEAST_DISTINCT = 10
_UNMISTAKABLE = 20


@cache
def digests() -> Mapping[str, str]:
    """Give where each was published, by SHA-256 in hexadecimal; read from the package once."""
    text = resources.files("sidecar.lint").joinpath("published.tsv").read_text("utf-8")
    lines = (line.partition("\t") for line in text.splitlines() if not line.startswith("#"))
    return MappingProxyType({digest: origin for digest, _, origin in lines})


def origin_of(value: str) -> str | None:
    """Tell where a value was published; `None` when it is in nobody's documentation we know."""
    if not value or len(value) > _LONGEST:
        return None
    return digests().get(hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest())


def is_unmistakable(value: str) -> bool:
    """Tell whether a value is too odd to be anything but a key, whatever its variable is called."""
    return len(value) >= _UNMISTAKABLE and len(set(value)) >= _LEAST_DISTINCT
