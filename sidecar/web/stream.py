"""Server-sent events: what changed on the status page, while a browser shows it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final

import msgspec

from sidecar.web.status_page import parts

PAUSE_SECONDS: Final = 1.0
PING_SECONDS: Final = 15.0
MOST_WATCHERS: Final = 20
RETRY_MILLISECONDS: Final = 2000

TakeSnapshot = Callable[[], Mapping[str, Any]]


class Stream:
    """Sends every watcher what changed since its last event."""

    def __init__(
        self, take_snapshot: TakeSnapshot, *, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._take_snapshot = take_snapshot
        self._pause_seconds = pause_seconds
        self._watchers = 0
        self._rendered_mono = float("-inf")
        self._shown: dict[str, str] = {}
        self._ends = False

    @property
    def is_full(self) -> bool:
        """Whether another watcher would cost the probes too much."""
        return self._watchers >= MOST_WATCHERS

    async def watch(self) -> AsyncGenerator[bytes, None]:
        """Yield events until the process drains or the watcher leaves.

        The first event holds every part, each later one those that changed. A comment is
        sent after 15 s without an event, so that a dead connection is noticed.
        """
        sent: dict[str, str] = {}
        quiet_seconds = 0.0
        self._watchers += 1
        try:
            yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
            while True:
                shown = self._render()
                news = {key: html for key, html in shown.items() if sent.get(key) != html}
                if news:
                    yield b"event: parts\ndata: " + msgspec.json.encode(news) + b"\n\n"
                elif quiet_seconds >= PING_SECONDS:
                    yield b":\n\n"
                # A comment counts as an event here.
                is_silent = not news and quiet_seconds < PING_SECONDS
                quiet_seconds = quiet_seconds + self._pause_seconds if is_silent else 0.0
                sent = shown
                if self._ends:
                    return
                await asyncio.sleep(self._pause_seconds)
        finally:
            self._watchers -= 1

    def _render(self) -> dict[str, str]:
        """Return the page's parts, made once for all watchers of the same moment."""
        now_mono = time.monotonic()
        if now_mono - self._rendered_mono >= self._pause_seconds:
            snapshot = self._take_snapshot()
            self._rendered_mono = now_mono
            self._shown = parts(snapshot)
            self._ends = snapshot.get("phase") == "draining"
        return self._shown
