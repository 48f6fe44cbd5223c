"""Numbers that live elsewhere as plain values, read when somebody collects."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from sidecar.telemetry.contract import Instrument, Kind

Reading = tuple[float, Mapping[str, str]]
"""A value and its attributes."""

Read = Callable[[], Iterable[Reading]]
"""Returns what is true now. It reads memory only, and leaves out what it does not know: a
series that is absent is honest, a repeated last value is not."""


class Readings:
    """Which functions feed which observable instrument.

    OpenTelemetry takes the callbacks of an instrument once, when it is made; pools and publishers
    come and go, so each instrument has one callback that asks all of its readers.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter: Final = meter
        self._readers: dict[str, list[Read]] = {}

    def add(self, instrument: Instrument, read: Read) -> Callable[[], None]:
        """Feed `instrument` from `read` too; call the returned function to stop."""
        readers = self._readers.get(instrument.name)
        if readers is None:
            readers = self._readers[instrument.name] = []
            self._create(instrument, readers)
        readers.append(read)

        def remove() -> None:
            if read in readers:
                readers.remove(read)

        return remove

    def _create(self, instrument: Instrument, readers: list[Read]) -> None:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, attributes) for value, attributes in _collect(readers)]

        create = {
            Kind.COUNTER: self._meter.create_observable_counter,
            Kind.GAUGE: self._meter.create_observable_gauge,
            Kind.UP_DOWN_COUNTER: self._meter.create_observable_up_down_counter,
        }[instrument.kind]
        create(instrument.name, [observe], unit=instrument.unit, description=instrument.description)


def _collect(readers: list[Read]) -> Iterable[Reading]:
    if len(readers) == 1:
        return readers[0]()
    return _add_up(chain.from_iterable(read() for read in tuple(readers)))


def _add_up(readings: Iterable[Reading]) -> Iterable[Reading]:
    """Add what several readers say of one series; the SDK would keep only the last."""
    totals: dict[tuple[tuple[str, str], ...], float] = {}
    for value, attributes in readings:
        key = tuple(sorted(attributes.items()))
        totals[key] = totals.get(key, 0) + value
    return [(value, dict(key)) for key, value in totals.items()]
