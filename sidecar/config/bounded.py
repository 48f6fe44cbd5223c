"""Reading files and pipes: of a bounded size, and within a bounded time."""

import os
import select
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

STANDARD_INPUT: Final = Path("-")
SILENCE_SECONDS: Final = 10.0
LONGEST_SECONDS: Final = 60.0
_PIECE_BYTES: Final = 64 * 1024


class FileTooLargeError(ValueError):
    """A file is larger than any of its kind can be."""


class SilentPipeError(OSError):
    """A pipe did not come to its end in time."""


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """Read a whole file; a regular one, for a pipe or a device would block or never end.

    Raises:
        OSError: It is not there, not a regular file, or may not be read.
        FileTooLargeError: It is larger than the limit.
        ValueError: Its path holds a NUL.
    """
    return _read(path, limit_bytes, regular_only=True)


def read_named(path: Path, limit_bytes: int) -> bytes:
    """Read what a person names on the command line: a file, a pipe, or `-` for standard input.

    Raises:
        SilentPipeError: A pipe was silent for 10 s, or had not ended after a minute.
        OSError: It is not there, a directory, or may not be read.
        FileTooLargeError: It is larger than the limit.
        ValueError: Its path holds a NUL.
    """
    if path != STANDARD_INPUT:
        return _read(path, limit_bytes, regular_only=False)
    try:
        descriptor = sys.stdin.fileno()
    except OSError:  # it was replaced by a program that calls this one
        return _checked(sys.stdin.buffer.read(limit_bytes + 1), limit_bytes)
    return _checked(_drain(descriptor, limit_bytes), limit_bytes)


def _read(path: Path, limit_bytes: int, *, regular_only: bool) -> bytes:
    # Opening a pipe without a writer would block.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode) or (regular_only and not stat.S_ISREG(mode)):
            raise IsADirectoryError
        return _checked(_drain(descriptor, limit_bytes), limit_bytes)
    finally:
        os.close(descriptor)


def _drain(descriptor: int, limit_bytes: int) -> bytes:
    """Read to the end, or to one byte more than the limit."""
    ready = select.poll()
    ready.register(descriptor, select.POLLIN)
    ends_mono = time.monotonic() + LONGEST_SECONDS
    pieces: list[bytes] = []
    room = limit_bytes + 1
    while room > 0:
        if time.monotonic() > ends_mono or not ready.poll(SILENCE_SECONDS * 1000):
            raise SilentPipeError
        with suppress(BlockingIOError):
            piece = os.read(descriptor, min(room, _PIECE_BYTES))
            if not piece:
                break
            pieces.append(piece)
            room -= len(piece)
    return b"".join(pieces)


def _checked(content: bytes, limit_bytes: int) -> bytes:
    if len(content) > limit_bytes:
        raise FileTooLargeError
    return content
