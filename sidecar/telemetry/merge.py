"""One text of many processes: this one's numbers and the agents', each with service and process."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from sidecar.telemetry.exposition import read_registry, write
from sidecar.telemetry.text_parser import ExpositionError, Family, read_families, write_origin

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Scrape:
    """The last text of a process; parsed at the first render, kept while it stays the same."""

    text: str
    families: dict[str, Family] | None = None


@dataclass(slots=True, eq=False)
class Exposition:
    """Merges the texts of processes into one.

    Agents are read each second and rendered every fifteen, so `accept` only keeps the text.
    A text that is no exposition is left out as a whole and counted; so is a family whose type
    differs from that of the process before. `update` and `accept` belong to one thread; `render`
    may run in another.

    Attributes:
        process: Label of this process's numbers.
        registry: This process's numbers; None where there are none.
        service: Label of all numbers, so that those of two services are never taken for one.
        max_characters: Longest text of one process.
        max_series: Most samples of one process.
        max_processes: Most processes beside this one.
        failures: By process: texts refused and families left out, since the start.
    """

    process: str
    registry: CollectorRegistry | None = None
    service: str = ""
    max_characters: int = 8_000_000
    max_series: int = 100_000
    max_processes: int = 256
    failures: dict[str, int] = field(default_factory=dict, init=False)
    _scrapes: dict[str, _Scrape] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def update(self, texts: Mapping[str, str | None]) -> None:
        """Accept the texts of all processes, and drop those of processes that do not answer."""
        heard = {process: text for process, text in texts.items() if text is not None}
        for process in self._scrapes.keys() - heard.keys():
            del self._scrapes[process]
        for process, text in heard.items():
            self.accept(process, text)

    def accept(self, process: str, text: str) -> None:
        """Accept the text of a process; it replaces the one before."""
        known = self._scrapes.get(process)
        if known is not None and known.text == text:
            return
        is_full = len(self._scrapes) >= self.max_processes
        if process == self.process or (known is None and is_full):
            self._refuse(process, "its name is taken or there are too many processes")
        elif len(text) > self.max_characters:
            self._scrapes.pop(process, None)
            self._refuse(process, f"it is longer than {self.max_characters} characters")
        else:
            self._scrapes[process] = _Scrape(text)

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """Return the body and its content type, chosen by the `Accept` header."""
        # Two collections of one registry at a time would yield each family twice.
        with self._lock:
            families = self._merge()
        return write(families, accept)

    def _merge(self) -> list[Family]:
        merged: dict[str, Family] = {}
        if self.registry is not None:
            local = read_registry(self.registry, write_origin(self.service, self.process))
            merged = {family.name: family for family in local}
        for process, scrape in sorted(self._scrapes.copy().items()):
            self._add(merged, process, scrape)
        return [merged[name] for name in sorted(merged)]

    def _add(self, merged: dict[str, Family], process: str, scrape: _Scrape) -> None:
        first = scrape.families is None
        if scrape.families is None:
            scrape.families = self._parse(process, scrape.text)
        for family in scrape.families.values():
            known = merged.setdefault(family.name, Family(family.name, family.type, family.help))
            if known.type == family.type:
                known.lines += family.lines
            elif first:
                self._refuse(process, f"{family.name} is a {known.type} elsewhere")

    def _parse(self, process: str, text: str) -> dict[str, Family]:
        try:
            text.encode()
            return read_families(text, write_origin(self.service, process), self.max_series)
        except UnicodeEncodeError:
            self._refuse(process, "it is not Unicode text")
        except ExpositionError as error:
            self._refuse(process, str(error))
        return {}

    def _refuse(self, process: str, reason: str) -> None:
        self.failures[process] = self.failures.get(process, 0) + 1
        if self.failures[process] == 1:
            logger.warning(
                "The numbers of %s were left out: %s Further cases are only counted.",
                process,
                reason.rstrip(".") + ".",
                extra={"event": "sidecar.exposition.refused", "target": process},
            )
