"""Old event shapes to new ones, as a chain of small functions on plain data."""

from collections.abc import Callable, Iterator, Mapping

Shape = dict[str, object]
Upcaster = Callable[[Shape], Shape]
"""Takes the fields of one schema version, as JSON holds them, and returns the next's; pure."""


def find_holes(current_version: int, upcasters: Mapping[int, Upcaster]) -> Iterator[int]:
    """Yield each older schema version, ascending, that has no upcaster."""
    return (version for version in range(1, current_version) if version not in upcasters)


def upcast(
    shape: Shape, from_version: int, to_version: int, upcasters: Mapping[int, Upcaster]
) -> Shape:
    """Convert `shape` step by step from one schema version to another.

    Raises:
        KeyError: A version on the way has no upcaster; `find_holes` reports it at start.
    """
    for version in range(from_version, to_version):
        shape = upcasters[version](shape)
    return shape
