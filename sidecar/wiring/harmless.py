"""What an agent cannot do: logged once, counted, and no harm to its application."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from sidecar.errors import SidecarError

logger = logging.getLogger(__name__)


class Part(StrEnum):
    """What an agent does; the values are those of `sidecar.agent.failures`."""

    START = "start"
    SOCKET = "socket"
    PORT = "port"
    PUBLISHER = "publisher"
    POOL = "pool"
    STORE = "store"
    CHECKS = "checks"
    ANSWER = "answer"
    END = "end"


class Troubles:
    """Keeps whatever goes wrong in an agent away from the application.

    Attributes:
        counts: How often each part failed.
    """

    def __init__(self) -> None:
        self.counts: Final[Counter[str]] = Counter()

    @contextmanager
    def contained(self, part: Part) -> Iterator[None]:
        """Let nothing but a cancellation out of the block."""
        try:
            yield
        # The edge between the agent and its application, which goes on whatever happens here.
        except Exception as error:  # noqa: BLE001 - logged and counted
            self.note(part, error)

    def note(self, part: Part, error: Exception) -> None:
        """Count a failure, and log the first one of each part."""
        self.counts[part.value] += 1
        if self.counts[part.value] > 1:
            return
        is_told = isinstance(error, SidecarError | OSError)
        logger.warning(
            "The agent goes on without its %s: %s",
            part.value,
            error if is_told else type(error).__name__,
            exc_info=None if is_told else error,
            extra={"event": "sidecar.agent.limited", "part": part.value},
        )

    def read(self) -> Iterable[tuple[str, int]]:
        """Return the count of every part, zeros included."""
        return [(part.value, self.counts[part.value]) for part in Part]
