"""NaN and infinity, which JSON lacks: written as `null`, they would be lost silently."""

import math


def is_finite(value: object) -> bool:
    """Return True when no number in plain data is NaN or infinite."""
    if isinstance(value, dict | list | tuple | set | frozenset):
        return all(map(is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)
