"""Numbers that live elsewhere as plain values, read at each collection."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from typing_extensions import override

from sidecar.telemetry.emitter import Instrument, Kind

Reading = tuple[float, Mapping[str, str]]
"""A value and its attributes."""

Read = Callable[[], Iterable[Reading]]
"""Returns what is true now. It reads memory only, and leaves out what it does not know: a
series that is absent is honest, a repeated last value is not."""


Reader = tuple[Read, object | None]
"""A function that feeds an instrument, and the object that it reads, where it is one object."""

logger = logging.getLogger(__name__)


class ReadingCollector(Collector):
    """Which functions feed which observable instrument.

    OpenTelemetry takes the callbacks of an instrument once, when it is made; pools and publishers
    come and go, so each instrument has one callback that asks all of its readers. Prometheus is
    served from the readers themselves: on the way through the SDK each sample would cost five
    times as much, in the event loop of an application.

    Args:
        meter: Observes the same where metrics are sent; None where none are.
    """

    def __init__(self, meter: Meter | None) -> None:
        self._meter: Final = meter
        self._readers: Final[dict[Instrument, list[Reader]]] = {}

    def add(
        self, instrument: Instrument, read: Read, about: object | None = None
    ) -> Callable[[], None]:
        """Feed `instrument` from `read` too; call the returned function to stop.

        Of several readers about one thing only the first is asked.
        """
        readers = self._readers.get(instrument)
        if readers is None:
            readers = self._readers[instrument] = []
            if self._meter is not None:
                _create(self._meter, instrument, readers)
        reader = read, about
        readers.append(reader)

        def remove() -> None:
            if reader in readers:
                readers.remove(reader)

        return remove

    @override
    def collect(self) -> Iterator[Metric]:
        """Call every reader; one that fails costs its series only."""
        for instrument, readers in tuple(self._readers.items()):
            name = instrument.prometheus_name.removesuffix("_total")
            # Prometheus knows no counter that goes down.
            kind = "counter" if instrument.kind is Kind.COUNTER else "gauge"
            metric = Metric(name, instrument.description, kind)
            try:
                metric.samples = _make_samples(instrument, _collect(readers))
            # The edge to readers of other rooms: whatever one raises, the other numbers are shown.
            except Exception:
                logger.warning(
                    "Callback failed for %s; it is left out.",
                    instrument.name,
                    exc_info=True,
                    extra={"event": "sidecar.telemetry.reader_failed"},
                )
            else:
                yield metric


def _create(meter: Meter, instrument: Instrument, readers: list[Reader]) -> None:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, attributes) for value, attributes in _collect(readers)]

    create = {
        Kind.COUNTER: meter.create_observable_counter,
        Kind.GAUGE: meter.create_observable_gauge,
        Kind.UP_DOWN_COUNTER: meter.create_observable_up_down_counter,
    }[instrument.kind]
    create(instrument.name, [observe], unit=instrument.unit, description=instrument.description)


def _make_samples(instrument: Instrument, readings: Iterable[Reading]) -> list[Sample]:
    name = instrument.prometheus_name
    labels = [(key, key.replace(".", "_")) for key in sorted(instrument.attributes)]
    return [
        Sample(name, {label: attributes[key] for key, label in labels}, value)
        for value, attributes in readings
    ]


def _collect(readers: list[Reader]) -> Iterable[Reading]:
    if len(readers) == 1:
        return readers[0][0]()
    # Reversed, so that the first of several about one thing is the one that is kept.
    apart = {id(read if about is None else about): read for read, about in reversed(tuple(readers))}
    return _add_up(chain.from_iterable(read() for read in apart.values()))


def _add_up(readings: Iterable[Reading]) -> Iterable[Reading]:
    """Add what several readers say of one series; the SDK would keep only the last."""
    totals: dict[tuple[tuple[str, str], ...], float] = {}
    for value, attributes in readings:
        key = tuple(sorted(attributes.items()))
        totals[key] = totals.get(key, 0) + value
    return [(value, dict(key)) for key, value in totals.items()]
