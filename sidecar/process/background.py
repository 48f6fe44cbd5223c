"""The loops of a process: started together, started again when one dies, ended together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Self

RESTART_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)

Loop = Callable[[], Awaitable[None]]


class Background:
    """Loops that run until the block ends. Use it as an async context manager.

    Attributes:
        restarts: How often a loop died, by name; only a bug, or a cancellation that nobody of ours
            asked for, can end one.
    """

    def __init__(self) -> None:
        self.restarts: Final[dict[str, int]] = {}
        self._tasks: Final[dict[str, asyncio.Task[None]]] = {}
        self._closing = False

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel all loops and wait for their end."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def start(self, name: str, loop: Loop) -> None:
        """Start a loop under a name of its own; one that dies is started again after a second."""
        self.restarts.setdefault(name, 0)
        self._tasks[name] = asyncio.create_task(self._keep(name, loop), name=name)

    async def _keep(self, name: str, loop: Loop) -> None:
        while not self._closing:
            try:
                await loop()
            except asyncio.CancelledError:
                if self._closing:
                    raise
                self._tell(name, None)
            except Exception as error:  # noqa: BLE001 - the root of a task
                self._tell(name, error)
            else:
                return
            await asyncio.sleep(RESTART_SECONDS)

    def _tell(self, name: str, error: Exception | None) -> None:
        self.restarts[name] += 1
        logger.error(
            "The loop %s ended unexpectedly; it is started again",
            name,
            exc_info=error,
            extra={"event": "sidecar.loop.restarted", "loop": name},
        )
