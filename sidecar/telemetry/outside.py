"""The providers that an application has set up for itself: ours go to them, and only once."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider

from sidecar.telemetry import metric
from sidecar.telemetry.collector import ReadingCollector
from sidecar.telemetry.emitter import Instrument
from sidecar.telemetry.identity import SCHEMA_URL, SCOPE


class Outside:
    """The instruments that this process made on the application's meter provider.

    OpenTelemetry would take an instrument that is made twice as two; each is made here, once.

    Attributes:
        readings: Feed its observable instruments.
        meter: Its meter; it may be set up later.
    """

    def __init__(self, version: str) -> None:
        self.meter: Final = metrics.get_meter(SCOPE, version, schema_url=SCHEMA_URL)
        self.readings: Final = ReadingCollector(self.meter)
        self._histograms: Final[dict[str, Histogram]] = {}

    def histogram(self, instrument: Instrument) -> Histogram:
        """Return the histogram of that name."""
        if instrument.name not in self._histograms:
            self._histograms[instrument.name] = make_histogram(self.meter, instrument)
        return self._histograms[instrument.name]


find_outside: Final = lru_cache(maxsize=1)(Outside)
"""Returns the one of this process, by the sidecar's version."""


def has_meters() -> bool:
    """Return True when the application has set up a meter provider that sends."""
    return isinstance(metrics.get_meter_provider(), MeterProvider)


def make_histogram(meter: metrics.Meter, instrument: Instrument) -> Histogram:
    """Make a histogram with bounds that suit seconds."""
    return meter.create_histogram(
        instrument.name,
        unit=instrument.unit,
        description=instrument.description,
        explicit_bucket_boundaries_advisory=metric.DURATION_BOUNDS_SECONDS,
    )


Record = Callable[[float, Mapping[str, str] | None], object]
"""Takes a duration in seconds, with attributes."""


def merge(*groups: Iterable[Histogram]) -> tuple[Histogram, ...]:
    """Return all histograms, each once."""
    return tuple({id(each): each for group in groups for each in group}.values())


def recorder(histograms: tuple[Histogram, ...]) -> Record:
    """Return what records in all of them; in one, at no more cost than its own."""
    if len(histograms) == 1:
        return histograms[0].record

    def record(amount: float, attributes: Mapping[str, str] | None) -> None:
        for each in histograms:
            each.record(amount, attributes)

    return record
