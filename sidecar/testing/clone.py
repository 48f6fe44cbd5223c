"""Copies of a projection's object, as each process has one of its own."""

import copy
from typing import Final

MAX_DEPTH: Final = 4

_OF_RESOURCES: Final = ("close", "aclose", "acquire", "__del__", "__enter__", "__aenter__")


def clone(target: object) -> object:
    """Return a copy of an object in which nothing is shared, or itself where that cannot be."""
    resources: dict[int, object] = {}
    _find_resources(target, resources, depth=0)
    try:
        return copy.deepcopy(target, resources)
    # Of a pool or a lock, or user code: anything.
    except Exception:  # noqa: BLE001
        return target


def _find_resources(value: object, found: dict[int, object], depth: int) -> None:
    """Gather what an object holds of pools, clients and files, which all copies share."""
    if depth and any(hasattr(type(value), name) for name in _OF_RESOURCES):
        found[id(value)] = value
    elif depth < MAX_DEPTH:
        held = getattr(value, "__dict__", {})
        parts = value if isinstance(value, list | tuple | set) else ()
        inner = value if isinstance(value, dict) else {}
        for part in (*dict(held).values(), *inner.values(), *parts):
            _find_resources(part, found, depth + 1)
