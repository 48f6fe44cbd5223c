"""Equal tracebacks, written out once in a while: in between each is counted, and named in a line.

A projection whose every event fails for one reason logs a line for each, with stream and position.
The traceback below it is the same a thousand times a second, and is most of what is written.
"""

import logging
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final

REPEAT_SECONDS: Final = 10.0
MOST_KINDS: Final = 256
"""Beyond so many the one that was seen longest ago is forgotten, and written when it returns."""

_DEEPEST: Final = 16
_MOST_FRAMES: Final = 64


@dataclass(slots=True)
class _Kind:
    written_mono: float
    left_out: int = 0


class Tracebacks:
    """Writes the exceptions of log records. Several threads may use it at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: Final[OrderedDict[int, _Kind]] = OrderedDict()
        self._lock: Final = threading.Lock()

    def write(self, record: logging.LogRecord) -> tuple[str, int]:
        """Return the exception's text, and how many equal tracebacks were left out.

        The text is the traceback, or, where an equal one of the same event was written within ten
        seconds, the exception alone. The number counts from the last one that was written: up to
        this line, where its own is left out, too.
        """
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return record.exc_text or "", 0
        is_written, left_out = self._count(fingerprint(record, error))
        written = traceback.format_exception if is_written else traceback.format_exception_only
        return "".join(written(error)), left_out

    def _count(self, key: int) -> tuple[bool, int]:
        now_mono = self._clock()
        with self._lock:
            kind = self._kinds.get(key)
            if kind is None:
                self._kinds[key] = _Kind(now_mono)
                if len(self._kinds) > MOST_KINDS:
                    self._kinds.popitem(last=False)
                return True, 0
            self._kinds.move_to_end(key)
            if now_mono - kind.written_mono < REPEAT_SECONDS:
                kind.left_out += 1
                return False, kind.left_out
            left_out, kind.written_mono, kind.left_out = kind.left_out, now_mono, 0
            return True, left_out


def fingerprint(record: logging.LogRecord, error: BaseException) -> int:
    """Return the same number for the same event, types of exceptions and lines of code.

    Texts have no part in it: they name what differs, such as an id.
    """
    event = getattr(record, "event", None) or record.name
    return hash((event, record.levelno, *_parts(error, _DEEPEST)))


def _parts(error: BaseException, depth: int) -> Iterator[object]:
    yield type(error)
    yield from _places(error.__traceback__)
    if depth and isinstance(error, BaseExceptionGroup):
        for each in error.exceptions[:_DEEPEST]:
            yield from _parts(each, depth // 2)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if depth and cause is not None:
        yield from _parts(cause, depth - 1)


def _places(frames: TracebackType | None) -> Iterator[tuple[str, int]]:
    for _ in range(_MOST_FRAMES):
        if frames is None:
            return
        yield frames.tb_frame.f_code.co_filename, frames.tb_lineno
        frames = frames.tb_next
