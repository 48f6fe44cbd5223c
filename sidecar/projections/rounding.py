"""Floating-point numbers that differ as sums in another order do. Pure."""

import math
import re
from typing import Final

_SEPARATOR: Final = re.compile(r"[^\w.+-]+")
"""Of the numbers of an array."""


def is_rounding(one: str, other: str, tolerance: float) -> bool:
    """Tell whether two numbers, or arrays of as many, differ by their last digits alone.

    Args:
        one: As text, such as `0.1` or `{0.1,NULL}`.
        other: Likewise.
        tolerance: Relative difference that another order of additions explains.
    """
    if _SEPARATOR.findall(one) != _SEPARATOR.findall(other):
        return False
    pairs = zip(_SEPARATOR.split(one), _SEPARATOR.split(other), strict=True)
    try:
        return all(a == b or math.isclose(float(a), float(b), rel_tol=tolerance) for a, b in pairs)
    except ValueError:
        return False
