"""Reading files that somebody names: regular ones only, and of a bounded size."""

from pathlib import Path


class FileTooLargeError(ValueError):
    """A file is larger than any of its kind can be."""


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """Read a whole file.

    Raises:
        OSError: It is not there, not a regular file, or may not be read.
        FileTooLargeError: It is larger than the limit.
        ValueError: Its path holds a NUL.
    """
    # A pipe or a device would block or never end; the type is asked before opening.
    if path.exists() and not path.is_file():
        raise IsADirectoryError
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise FileTooLargeError
    return content
