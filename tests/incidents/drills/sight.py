"""How each kind of signal is looked for on a stand."""

import asyncio
import html
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.incidents.drills.drill import Alert, Check, Letter, Log, Metric, Sentence, Signal
from tests.incidents.drills.stand import Stand

# Prometheus looks once a second; more often would only take processor time from what is watched.
POLL_SECONDS: Final = 0.5

Question = Callable[[], Awaitable[bool]]

_OPEN: Final = """
SELECT 1 FROM sidecar.dead_letters WHERE resolution IS NULL AND error_type = $1 LIMIT 1
"""


def question(stand: Stand, signal: Signal) -> Question:
    """Return what tells whether the signal shows; lines of the log count from now on."""
    match signal:
        case Alert():
            return partial(_is_told, stand, signal)
        case Check():
            return partial(_is_judged, stand, signal)
        case Metric():
            return partial(_is_measured, stand, signal)
        case Log():
            return partial(_is_logged, Journal(stand.folder), signal)
        case Letter():
            return partial(_is_kept, stand, signal)
        case Sentence():
            return partial(_is_said, stand, signal)


async def first_seen(ask: Question, within_seconds: float) -> float | None:
    """Ask until the answer is yes, and return after how many seconds it was; None for never."""
    began_mono = time.monotonic()
    while True:
        if await ask():
            return time.monotonic() - began_mono
        if time.monotonic() - began_mono > within_seconds:
            return None
        await asyncio.sleep(POLL_SECONDS)


class Journal:
    """The logs of all sidecars of a stand, each line read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_bytes = {log: log.stat().st_size for log in self._logs()}

    def news(self) -> Iterator[Mapping[str, Any]]:
        """Yield the lines that came since the last time."""
        for log in self._logs():
            with log.open("rb") as file:
                file.seek(self._read_bytes.get(log, 0))
                whole = file.read().rpartition(b"\n")[0]
            self._read_bytes[log] = self._read_bytes.get(log, 0) + len(whole)
            for line in whole.splitlines():
                if line.startswith(b"{"):
                    yield json.loads(line)

    def _logs(self) -> list[Path]:
        return sorted(self._folder.glob("program-*/*.log"))


async def _is_told(stand: Stand, alert: Alert) -> bool:
    return stand.receiver.find(alert.name, "firing") is not None


async def _is_judged(stand: Stand, check: Check) -> bool:
    answer = await stand.program.get("/api/status")
    if answer.status != 200:
        return False
    found = [one for one in answer.json()["checks"] if one["name"] == check.name]
    return any(
        one["outcome"] == check.outcome and check.reason in {"", one["reason"]} for one in found
    )


async def _is_measured(stand: Stand, metric: Metric) -> bool:
    return bool(await stand.tower.query(metric.query))


async def _is_logged(journal: Journal, log: Log) -> bool:
    return any(
        line.get("event") == log.event and log.values.items() <= line.items()
        for line in journal.news()
    )


async def _is_kept(stand: Stand, letter: Letter) -> bool:
    return bool(await stand.run(_OPEN, letter.error_type))


async def _is_said(stand: Stand, sentence: Sentence) -> bool:
    page = (await stand.program.get("/")).text
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
    return re.search(sentence.pattern, text) is not None
