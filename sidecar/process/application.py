"""The processes of one application, found by the sockets of their agents or at given addresses.

Each has a number for as long as it lives. A new one takes the lowest that is free, so that what is
started in place of a process that died takes over its name.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sidecar.process.agent_poller import AgentPoller
from sidecar.process.agent_socket import Life, list_sockets
from sidecar.process.heartbeat import Heartbeat
from sidecar.process.host import names_loopback

SCAN_SECONDS: Final = 0.5
MAX_PROCESSES: Final = 128
LOST_SECONDS: Final = 60.0
"""For so long a process that died is reported, though another has taken its place."""
MISSING_SECONDS: Final = 600.0
"""For so long one whose place is empty is."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """What a process of the application reported last.

    Attributes:
        name: `app-1` and so on.
        answered_mono: Monotonic time of that; None before its first answer.
        metrics: Its last exposition; None while it is silent.
    """

    name: str
    heartbeat: Heartbeat
    answered_mono: float | None
    metrics: str | None = None


class Application:
    """Follows the agents of an application; everything but `run` reads memory.

    Attributes:
        members: The processes that are known, by number, each with its name.
        is_known: Whether there ever was one, or an address for one.
        is_unreadable: The directory is there and cannot be read.
        left_out: Processes beyond those that are followed.
        has_died: Whether the last process that is gone ended without a word.

    Args:
        directory: Where agents have their sockets.
        urls: Where agents listen beside that.
    """

    def __init__(self, directory: Path | None, urls: Iterable[str] = ()) -> None:
        self.members: tuple[AgentPoller, ...] = ()
        self.is_known = bool(urls := tuple(urls))
        self.is_unreadable = False
        self.left_out = 0
        self.has_died = False
        self._directory: Final = directory
        self._by_url: Final = {url: AgentPoller(url) for url in urls}
        self._by_name: Final[dict[str, AgentPoller]] = {}
        self._paths: dict[str, Path] = {}
        self._numbers: dict[str, int] = {}
        self._lost: Final[dict[str, float]] = {}
        self._tasks: Final[dict[str, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            for key, poller in (*self._by_url.items(), *self._by_name.items()):
                self._poll(key, poller)
            while True:
                self._follow(await self._scan())
                await asyncio.sleep(SCAN_SECONDS)
        finally:
            tasks = list(self._tasks.values())
            self._tasks.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def unheard(self) -> tuple[AgentPoller, ...]:
        """Those at given addresses that never answered, and are not known otherwise."""
        silent = (each for each in self._by_url.values() if not each.contact.was_heard)
        return tuple(
            each for each in silent if not (self._by_name and is_of_this_machine(each.url))
        )

    @property
    def is_awaited(self) -> bool:
        """Whether a process has opened its socket and not answered yet, as one that starts."""
        return any(not poller.contact.was_heard for poller in self._by_name.values())

    @property
    def failures(self) -> dict[str, int]:
        """How often a process was asked in vain, since the start; `app` where it has no name."""
        counts = {member.name: member.contact.failures for member in self.members}
        nameless = sum(poller.contact.failures for poller in self.unheard)
        return counts | ({"app": nameless} if nameless else {})

    def statuses(self) -> tuple[ProcessStatus, ...]:
        """Return what each process reported last."""
        return tuple(
            ProcessStatus(each.name, each.heartbeat, each.contact.answered_mono, each.metrics)
            for each in self.members
        )

    def lost(self, now_mono: float) -> tuple[str, ...]:
        """Return the names of those that died lately without a word."""
        present = {member.name: LOST_SECONDS for member in self.members}
        seconds = {name: now_mono - died_mono for name, died_mono in self._lost.items()}
        return tuple(sorted(n for n in seconds if seconds[n] < present.get(n, MISSING_SECONDS)))

    async def _scan(self) -> dict[str, Path]:
        """Return the sockets that are there; what was there before, while that cannot be seen."""
        if self._directory is None:
            return {}
        try:
            # In a thread: a file system that hangs must not stop the loop.
            found = await asyncio.to_thread(list_sockets, self._directory)
        except OSError as error:
            if not self.is_unreadable:
                _log_unreadable(self._directory, error)
            self.is_unreadable = True
            return self._paths
        self.is_unreadable = False
        return found

    def _follow(self, paths: dict[str, Path]) -> None:
        """Update for the processes that have come, gone or died."""
        self._paths = paths
        for name in self._by_name.keys() - paths.keys():
            self._drop(name)
            self.has_died = False
        for name in [name for name, each in self._by_name.items() if each.life is not Life.ALIVE]:
            self._bury(name)
        newcomers = [name for name in paths if name not in self._by_name]
        room = MAX_PROCESSES - len(self._by_name)
        for name in newcomers[:room]:
            self._by_name[name] = AgentPoller.at(paths[name])
            self._poll(name, self._by_name[name])
        self.left_out = len(newcomers[room:])
        self._number()

    def _number(self) -> None:
        """Give each a number; one that is known by its socket and an address has one only."""
        for url, poller in self._by_url.items():
            poller.is_echo = poller.heartbeat.agent in self._by_name
            if poller.is_echo and url in self._numbers:
                own = self._numbers.pop(url)
                known = self._numbers.get(poller.heartbeat.agent, own)
                self._numbers[poller.heartbeat.agent] = min(own, known)
        present = dict(self._seen())
        self._numbers = number(self._numbers, tuple(present))
        for key, poller in present.items():
            poller.name = f"app-{self._numbers[key]}"
        self.members = tuple(present[key] for key in sorted(present, key=self._numbers.__getitem__))
        self.is_known = self.is_known or bool(self.members)

    def _seen(self) -> Iterator[tuple[str, AgentPoller]]:
        """Yield those that answered, or hang with their socket open; the oldest sockets first."""
        for name in self._paths:
            poller = self._by_name.get(name)
            if poller is not None and (poller.contact.was_heard or poller.contact.is_hung):
                yield name, poller
        for url, poller in self._by_url.items():
            if poller.contact.was_heard and not poller.is_echo:
                yield url, poller

    def _bury(self, name: str) -> None:
        """Forget a process whose socket nobody listens at, and remember that it was lost."""
        poller = self._by_name[name]
        if poller.life is Life.DEAD:
            if name in self._numbers:
                self._lost[f"app-{self._numbers[name]}"] = time.monotonic()
                self.has_died = True
            with suppress(OSError):
                self._paths[name].unlink(missing_ok=True)
        self._drop(name)

    def _drop(self, name: str) -> None:
        del self._by_name[name]
        self._paths.pop(name, None)
        self._tasks.pop(name).cancel()

    def _poll(self, key: str, poller: AgentPoller) -> None:
        self._tasks[key] = asyncio.create_task(poller.run(), name=f"agent {key}")


def number(numbers: dict[str, int], present: Sequence[str]) -> dict[str, int]:
    """Return a number for each that is present: its own, or the lowest that is free."""
    kept = {key: numbers[key] for key in present if key in numbers}
    free = (each for each in range(1, len(present) + 1) if each not in kept.values())
    return kept | {key: next(free) for key in present if key not in kept}


def is_of_this_machine(url: str) -> bool:
    """Return True when an address is on loopback."""
    return names_loopback(urlsplit(url).netloc)


def _log_unreadable(directory: Path, error: OSError) -> None:
    logger.warning(
        "The agents of the application cannot be found in %s: %s. Let this user read it, or set "
        "SIDECAR_AGENT_DIR.",
        directory,
        error.strerror,
        extra={"event": "sidecar.application.directory_unreadable"},
    )
