"""Server-sent events: what changed on the status page, for as long as somebody looks."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

import msgspec

from sidecar.web.status_page import parts

PAUSE_SECONDS: Final = 1.0
PING_SECONDS: Final = 15.0
MOST_WATCHERS: Final = 20
RETRY_MILLISECONDS: Final = 2000


class Stream:
    """Tells every watcher what changed since it was told last.

    Args:
        take_snapshot: What the page shows; read from memory.
        pause_seconds: Between two looks.
    """

    def __init__(
        self,
        take_snapshot: Callable[[], Mapping[str, Any]],
        *,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._take_snapshot = take_snapshot
        self._pause_seconds = pause_seconds
        self._watchers = 0

    @property
    def is_full(self) -> bool:
        """Whether another watcher would cost the probes too much."""
        return self._watchers >= MOST_WATCHERS

    async def watch(self) -> AsyncGenerator[bytes, None]:
        """Yield events until the process drains or the watcher leaves.

        The first event holds every part, each later one those that changed. A comment goes out
        when nothing has for 15 s, so that a connection that died is noticed.
        """
        told: dict[str, str] = {}
        quiet_seconds = 0.0
        self._watchers += 1
        try:
            yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
            while True:
                snapshot = self._take_snapshot()
                shown = parts(snapshot)
                news = {key: html for key, html in shown.items() if told.get(key) != html}
                if news:
                    yield b"event: parts\ndata: " + msgspec.json.encode(news) + b"\n\n"
                elif quiet_seconds >= PING_SECONDS:
                    yield b":\n\n"
                quiet_seconds = 0.0 if news else quiet_seconds + self._pause_seconds
                told = shown
                if snapshot.get("phase") == "draining":
                    return
                await asyncio.sleep(self._pause_seconds)
        finally:
            self._watchers -= 1
