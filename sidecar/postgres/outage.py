"""Work that is done again and again, and outlives that the database is away."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.errors import StoreUnavailableError
from sidecar.postgres.connection import SESSION_ERRORS


class OutageLog:
    """Lets one piece of work fail while the database is away, and logs that once.

    Args:
        logger: Of the module that does the work.
        sentence: What cannot be done; `%s` stands for the error's type.
        event: The name of the log event.
    """

    def __init__(self, logger: logging.Logger, sentence: str, *, event: str) -> None:
        self._logger = logger
        self._sentence = sentence
        self._extra = {"event": event}
        self._failed = False

    @contextmanager
    def survive(self) -> Iterator[None]:
        """End a block at an outage; any other error is raised."""
        try:
            yield
        except (StoreUnavailableError, TimeoutError, *SESSION_ERRORS) as error:
            if not self._failed:
                self._failed = True
                self._logger.warning(self._sentence, type(error).__name__, extra=self._extra)
        else:
            self._failed = False
