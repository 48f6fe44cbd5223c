"""Secrets that are published: known by their digests, for the values stay out of here."""

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
    """Return where each was published, by SHA-256 in hexadecimal; read from the package once."""
    text = resources.files("sidecar.lint").joinpath("published.tsv").read_text("utf-8")
    lines = (line.partition("\t") for line in text.splitlines() if not line.startswith("#"))
    return MappingProxyType({digest: origin for digest, _, origin in lines})


def origin_of(value: str) -> str | None:
    """Return where a value was published; `None` when that is not known."""
    if not value or len(value) > _LONGEST:
        return None
    return digests().get(hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest())


def is_unmistakable(value: str) -> bool:
    """Return True when a value is too odd to be anything but a key, under any name."""
    return len(value) >= _UNMISTAKABLE and len(set(value)) >= _LEAST_DISTINCT
