"""Filters that keep libraries from logging the same failure at length at each of their retries."""

import logging
import threading
from typing import Final, Self

from typing_extensions import override

_LIBRARY: Final = "opentelemetry.exporter."
_POOL: Final = "asyncpg.pool"


class PoolErrorFilter(logging.Filter):
    """Names the error instead of its traceback where asyncpg could not open a pooled connection.

    While PostgreSQL is away the pool warns at every attempt, and the tracebacks are all alike.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if record.name == _POOL and record.levelno < logging.ERROR and error is not None:
            record.msg = f"{record.getMessage()}: {type(error).__name__}"
            record.args = record.exc_info = record.exc_text = None
            record.event = "sidecar.pool.unconnected"
        return True


class RepeatFilter(logging.Filter):
    """Passes each message of one exporter once while it exports, and all messages of others.

    The loggers belong to the library, so exporters of the application log through them too. Use it
    as a context manager around an export, in any thread; `close` it with the exporter.
    """

    def __init__(self, exporter: object) -> None:
        super().__init__()
        self._said: Final[set[str]] = set()
        self._here: Final = threading.local()
        modules = {cls.__module__ for cls in type(exporter).__mro__}
        self._loggers: Final = [
            logging.getLogger(module) for module in modules if module.startswith(_LIBRARY)
        ]
        for logger in self._loggers:
            logger.addFilter(self)

    def __enter__(self) -> Self:
        """Begin to filter."""
        self._here.exporting = True
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop filtering."""
        self._here.exporting = False

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(self._here, "exporting", False):
            return True
        # The text before its arguments: those name a moment, or an object's address.
        is_new = str(record.msg) not in self._said
        self._said.add(str(record.msg))
        return is_new

    def close(self) -> None:
        """Take the filter off the loggers."""
        for logger in self._loggers:
            logger.removeFilter(self)
