"""Names of subscribers: their `name`, else from their function, class and module."""

from collections.abc import Sequence
from functools import partial
from types import MethodType


def name_of(target: object) -> str:
    """Return a subscriber's `name`, else that of its function or class."""
    return names_of(target)[0]


def names_of(target: object) -> tuple[str, ...]:
    """Return the possible names of a subscriber, short ones first; only `name` where it has one."""
    own = getattr(target, "name", None)
    if isinstance(own, str) and own:
        return (own,)
    if isinstance(target, partial):
        return names_of(target.func)
    if isinstance(target, MethodType):
        return _names_of_method(target)
    named = target if isinstance(getattr(target, "__name__", None), str) else type(target)
    short = str(getattr(named, "__name__", ""))
    qualified = _qualify(named) or short
    return _dedupe(short, qualified, f"{named.__module__}.{qualified}")


def find_distinct_names(targets: Sequence[object], taken: frozenset[str]) -> tuple[str, ...] | None:
    """Return the shortest names that differ from each other and from those taken, if any do."""
    choices = [names_of(target) for target in targets]
    for level in range(max(map(len, choices))):
        names = tuple(choice[min(level, len(choice) - 1)] for choice in choices)
        if len(set(names)) == len(names) and taken.isdisjoint(names):
            return names
    return None


def _names_of_method(method: MethodType) -> tuple[str, ...]:
    short = method.__name__
    return _dedupe(short, *(f"{name}.{short}" for name in names_of(method.__self__)))


def _qualify(named: object) -> str:
    # The name of an enclosing function adds little.
    return str(getattr(named, "__qualname__", "")).rpartition("<locals>.")[2]


def _dedupe(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
