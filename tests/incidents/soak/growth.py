"""What grew, how fast, and whether that is too fast. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, linear_regression
from typing import Final

from rich.table import Table

HOUR_SECONDS: Final = 3600.0
MEBIBYTE: Final = 1024.0 * 1024.0
MAX_WARM_UP_SECONDS: Final = 900.0
"""The status page keeps the last quarter of an hour; until it is full, memory grows with it."""
MIN_MEMORY_SECONDS: Final = 240.0
"""In less, what the allocator takes and gives back hides what is lost."""
MAX_MEMORY_MEBIBYTES_PER_HOUR: Final = 8.0
MAX_COUNT: Final = 2.0
"""A pool opens a connection and lets it go again; a leak goes on."""


class Resource(StrEnum):
    """What a process holds."""

    MEMORY = "memory (MiB)"
    DESCRIPTORS = "file descriptors"
    THREADS = "threads"
    CONNECTIONS = "connections"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held at a moment; `at_seconds` since the beginning."""

    at_seconds: float
    process: str
    held: dict[Resource, float]


@dataclass(frozen=True, slots=True)
class Growth:
    """How a resource of a process went after the warm-up.

    Attributes:
        first: Mean over the first tenth.
        last: Mean over the last.
        window_seconds: From the first sample to the last.
        per_hour: Slope of the line of least squares.
    """

    process: str
    resource: Resource
    first: float
    last: float
    window_seconds: float
    per_hour: float

    @property
    def limit_per_hour(self) -> float | None:
        """What it may grow by at most; None where the window is too short to tell."""
        if self.resource is not Resource.MEMORY:
            return MAX_COUNT * HOUR_SECONDS / self.window_seconds
        return MAX_MEMORY_MEBIBYTES_PER_HOUR if self.window_seconds >= MIN_MEMORY_SECONDS else None

    @property
    def holds(self) -> bool:
        limit = self.limit_per_hour
        return limit is None or self.per_hour <= limit


def warm_up_seconds(seconds: float) -> float:
    """Return after how much of a run growth is looked for."""
    return min(seconds / 2, MAX_WARM_UP_SECONDS)


def fit(samples: Sequence[Sample], after_seconds: float) -> list[Growth]:
    """Return the growth of each resource of each process, from so many seconds on."""
    late = [sample for sample in samples if sample.at_seconds >= after_seconds]
    return [
        _fit([sample for sample in late if sample.process == process], resource)
        for process in dict.fromkeys(sample.process for sample in late)
        for resource in Resource
    ]


def _fit(samples: Sequence[Sample], resource: Resource) -> Growth:
    times = [sample.at_seconds for sample in samples]
    held = [sample.held[resource] for sample in samples]
    tenth = max(len(held) // 10, 1)
    return Growth(
        samples[0].process,
        resource,
        fmean(held[:tenth]),
        fmean(held[-tenth:]),
        times[-1] - times[0],
        linear_regression(times, held).slope * HOUR_SECONDS,
    )


def tabulate(growths: Iterable[Growth], title: str) -> Table:
    table = Table("process", "resource", title=title)
    for column in ("first", "last", "growth per hour", "at most", "holds"):
        table.add_column(column, justify="right")
    for one in growths:
        limit = one.limit_per_hour
        table.add_row(
            one.process,
            one.resource.value,
            f"{one.first:.1f}",
            f"{one.last:.1f}",
            f"{one.per_hour:+.2f}",
            "-" if limit is None else f"{limit:.1f}",
            "yes" if one.holds else "NO",
        )
    return table
