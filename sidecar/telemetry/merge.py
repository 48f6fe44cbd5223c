"""One text of many processes: this one's numbers and the agents', each with service and process."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry

from sidecar.telemetry.exposition import (
    OPENMETRICS,
    PLAIN,
    read_registry,
    wants_openmetrics,
    write_openmetrics,
    write_plain,
)
from sidecar.telemetry.text_parser import ExpositionError, Family, read_families, write_origin

MAX_CHARACTERS: Final = 8_000_000
MAX_SERIES: Final = 100_000
MAX_PROCESSES: Final = 256

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Scrape:
    """The last text of a process; parsed at the first render, kept while it stays the same."""

    text: str
    families: dict[str, Family] | None = None
    read: bool = False


class Exposition:
    """Merges the texts of processes into one.

    Agents are read each second and rendered every fifteen, so `accept` only keeps the text.
    A text that is no exposition is left out as a whole and counted; so is a family whose type
    differs from that of the process before. `accept` and `forget` belong to one thread; `render`
    may run in another.

    Args:
        process: Label of this process's numbers.
        registry: This process's numbers; None where there are none.
        service: Label of all numbers, so that those of two services are never taken for one.
        max_characters: Longest text of one process.
        max_series: Most samples of one process.
        max_processes: Most processes beside this one.
    """

    def __init__(
        self,
        process: str,
        registry: CollectorRegistry | None = None,
        *,
        service: str = "",
        max_characters: int = MAX_CHARACTERS,
        max_series: int = MAX_SERIES,
        max_processes: int = MAX_PROCESSES,
    ) -> None:
        self.failures: Final[dict[str, int]] = {}
        """By process: texts refused and families left out, since the start."""
        self._process: Final = process
        self._service: Final = service
        self._registry: Final = registry
        self._max_characters: Final = max_characters
        self._max_series: Final = max_series
        self._max_processes: Final = max_processes
        self._scrapes: Final[dict[str, _Scrape]] = {}
        self._lock: Final = threading.Lock()

    def update(self, texts: Mapping[str, str | None]) -> None:
        """Accept the texts of all processes; one that is missing, or None, is dropped."""
        for process in self._scrapes.keys() - texts.keys():
            self.forget(process)
        for process, text in texts.items():
            if text is None:
                self.forget(process)
            else:
                self.accept(process, text)

    def accept(self, process: str, text: str) -> None:
        """Accept the text of a process; it replaces the one before."""
        known = self._scrapes.get(process)
        if known is not None and known.text == text:
            return
        if process == self._process or (known is None and self._is_full):
            self._refuse(process, "its name is taken or there are too many processes")
        elif len(text) > self._max_characters:
            self.forget(process)
            self._refuse(process, f"it is longer than {self._max_characters} characters")
        else:
            self._scrapes[process] = _Scrape(text)

    def forget(self, process: str) -> None:
        """Drop a process that does not answer: no number is better than an old one."""
        self._scrapes.pop(process, None)

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """Return the body and its content type, chosen by the `Accept` header."""
        # Two collections of one registry at a time would yield each family twice.
        with self._lock:
            families = self._merge()
        if wants_openmetrics(accept):
            return write_openmetrics(families), OPENMETRICS
        return write_plain(families), PLAIN

    @property
    def _is_full(self) -> bool:
        return len(self._scrapes) >= self._max_processes

    def _merge(self) -> list[Family]:
        merged: dict[str, Family] = {}
        if self._registry is not None:
            local = read_registry(self._registry, write_origin(self._service, self._process))
            merged = {family.name: family for family in local}
        for process, scrape in sorted(self._scrapes.copy().items()):
            self._add(merged, process, scrape)
        return [merged[name] for name in sorted(merged)]

    def _add(self, merged: dict[str, Family], process: str, scrape: _Scrape) -> None:
        first = not scrape.read
        for family in self._read(process, scrape).values():
            known = merged.setdefault(family.name, Family(family.name, family.type, family.help))
            if known.type == family.type:
                known.lines += family.lines
            elif first:
                self._refuse(process, f"{family.name} is a {known.type} elsewhere")

    def _read(self, process: str, scrape: _Scrape) -> dict[str, Family]:
        if not scrape.read:
            scrape.families = self._parse(process, scrape.text)
            scrape.read = True
        return scrape.families or {}

    def _parse(self, process: str, text: str) -> dict[str, Family] | None:
        try:
            text.encode()
            return read_families(text, write_origin(self._service, process), self._max_series)
        except UnicodeEncodeError:
            self._refuse(process, "it is not Unicode text")
        except ExpositionError as error:
            self._refuse(process, str(error))
        return None

    def _refuse(self, process: str, reason: str) -> None:
        first = process not in self.failures
        self.failures[process] = self.failures.get(process, 0) + 1
        if first:
            logger.warning(
                "The numbers of %s were left out: %s Further cases are only counted.",
                process,
                reason.rstrip(".") + ".",
                extra={"event": "sidecar.exposition.refused", "target": process},
            )
