"""An exporter whose receiver fails says so at each attempt; here each thing is said once."""

import logging
import threading
from typing import Final, Self

from typing_extensions import override

_LIBRARY: Final = "opentelemetry.exporter."


class Hush(logging.Filter):
    """Lets through once what one exporter says while it is exporting, and all that others say.

    The loggers belong to the library, and so to exporters of the application's own too. Use it as
    a context manager around an export, in any thread; `close` it with the exporter.
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
        """Begin to listen."""
        self._here.exporting = True
        return self

    def __exit__(self, *_error: object) -> None:
        """Listen no more."""
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
        """Leave the loggers as they were."""
        for logger in self._loggers:
            logger.removeFilter(self)
