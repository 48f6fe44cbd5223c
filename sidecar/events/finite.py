"""Numbers that JSON lacks: written as `null`, they would be lost without a word."""

import math
from collections.abc import Iterable

import msgspec


def is_finite(event: object) -> bool:
    """Tell whether no number in an event object is infinite or none at all."""
    return _is_finite(msgspec.to_builtins(event))


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return _are_finite(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return _are_finite(value)
    return True


def _are_finite(values: Iterable[object]) -> bool:
    return all(map(_is_finite, values))
