"""NaN and infinity, which JSON lacks: written as `null`, they would be lost silently."""

import math
from collections.abc import Iterable


def is_finite(value: object) -> bool:
    """Return True when no number in plain data is NaN or infinite."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return _are_finite(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return _are_finite(value)
    return True


def _are_finite(values: Iterable[object]) -> bool:
    return all(map(is_finite, values))
