"""Projections at work, as spans and numbers: one span and one duration for each batch."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, use_span

from sidecar.events.record import RecordedEvent
from sidecar.events.tally import MAX_ERROR_TYPES, OTHER
from sidecar.projections.observer import Action, ProjectionNumbers
from sidecar.telemetry import attribute, metric
from sidecar.telemetry.collector import Read, Reading
from sidecar.telemetry.emitter import Instrument
from sidecar.telemetry.failure import mark_failed, record_exception
from sidecar.telemetry.link import current_trace_id, link_writers
from sidecar.telemetry.outside import recorder
from sidecar.telemetry.setup import Telemetry
from sidecar.telemetry.span import PROCESS_SPAN

ReadNumbers = Callable[[], Mapping[str, ProjectionNumbers]]
"""Returns the numbers of every projection that this process runs now, by name."""


@dataclass(slots=True)
class Batch:
    """A batch under way."""

    span: Span
    error_type: str | None = None


# Of the task that applies it.
_batch: Final[ContextVar[Batch]] = ContextVar("batch")


class RunnerTelemetry:
    """Observes the loops of one process."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._tracer: Final = telemetry.tracer
        self.redact: Final = telemetry.redact
        self._record: Final = recorder(telemetry.histograms(metric.PROCESS_DURATION))
        self._error_types: Final[defaultdict[str, set[str]]] = defaultdict(set)

    @contextmanager
    def batch(self, projection: str, events: Sequence[RecordedEvent]) -> Iterator[None]:
        """Make a span, linked to the writers' spans, the current one; record its duration."""
        began_mono = time.perf_counter()
        batch = Batch(self._start_span(projection, events))
        token = _batch.set(batch)
        with use_span(
            batch.span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield
            finally:
                _batch.reset(token)
                self._record_duration(projection, batch.error_type, began_mono)

    def _start_span(self, projection: str, events: Sequence[RecordedEvent]) -> Span:
        span = self._tracer.start_span(
            f"process {projection}",
            context=Context(),  # not a child of what started the loop
            kind=SpanKind.CONSUMER,
            attributes={
                attribute.MESSAGING_SYSTEM: attribute.SYSTEM,
                attribute.OPERATION_NAME: PROCESS_SPAN.operation,
                attribute.CONSUMER_GROUP: projection,
                attribute.BATCH_COUNT: len(events),
            },
        )
        if span.is_recording():
            link_writers(span, events)
        return span

    def _record_duration(self, projection: str, error_type: str | None, began_mono: float) -> None:
        attributes: dict[str, str] = {
            attribute.CONSUMER_GROUP: projection,
            attribute.OPERATION_NAME: PROCESS_SPAN.operation,
        }
        if error_type is not None:
            attributes[attribute.ERROR_TYPE] = self._fold(projection, error_type)
        self._record(time.perf_counter() - began_mono, attributes)

    def event_failed(
        self, event: RecordedEvent, error: BaseException, action: str, attempt: int
    ) -> None:
        """Record the failure on the batch's span; the loop's tally counts it."""
        batch = _batch.get()
        batch.error_type = type(error).__name__
        record_exception(
            batch.span,
            error,
            self.redact,
            {
                attribute.SPAN_POSITION: event.position,
                attribute.EVENT_TYPE: event.type,
                attribute.SPAN_ACTION: action,
                attribute.SPAN_ATTEMPT: attempt,
            },
        )
        mark_failed(batch.span, batch.error_type, f"{event.type} at position {event.position}")

    def _fold(self, projection: str, error_type: str) -> str:
        """Bound the series that error types can make, as the tally does."""
        known = self._error_types[projection]
        if error_type not in known and len(known) >= MAX_ERROR_TYPES:
            return OTHER
        known.add(error_type)
        return error_type

    trace_id = staticmethod(current_trace_id)


def observe_projections(telemetry: Telemetry, read: ReadNumbers) -> Callable[[], None]:
    """Show the numbers of a process's projections; call the returned function to stop."""
    return telemetry.observe(
        {
            metric.PROJECTION_EVENTS: lambda: _read_applied(read(), attribute.PROJECTION),
            metric.PROJECTION_FAILURES: lambda: _read_failures(read()),
            metric.PROJECTION_REPLAYS: lambda: [
                (tally.replays, {attribute.PROJECTION: name}) for name, tally in read().items()
            ],
            **_moment_readers(read),
        },
    )


def observe_handlers(telemetry: Telemetry, read: ReadNumbers) -> Callable[[], None]:
    """Show the numbers of the handlers that follow the store in this process.

    Their loops beat and progress as projections do, so those series bear the same names.
    """
    return telemetry.observe(
        {
            metric.HANDLER_EVENTS: lambda: _read_applied(read(), attribute.HANDLER),
            metric.HANDLER_FAILURES: lambda: _read_handler_failures(read()),
            **_moment_readers(read),
        },
    )


def _moment_readers(read: ReadNumbers) -> dict[Instrument, Read]:
    def known(moment: Callable[[ProjectionNumbers], float | None]) -> Iterable[Reading]:
        for name, tally in read().items():
            if (at := moment(tally)) is not None:
                yield at, {attribute.PROJECTION: name}

    return {
        metric.HEARTBEAT: lambda: known(lambda tally: tally.heartbeat_at),
        metric.PROGRESS: lambda: known(lambda tally: tally.progress_at),
    }


def _read_applied(numbers: Mapping[str, ProjectionNumbers], label: str) -> Iterable[Reading]:
    return [(tally.applied, {label: name}) for name, tally in numbers.items()]


def _read_handler_failures(numbers: Mapping[str, ProjectionNumbers]) -> Iterable[Reading]:
    for name, tally in numbers.items():
        by_type: Counter[str] = Counter({OTHER: 0})
        for (error_type, action), count in tuple(tally.failures.items()):
            # One that is tried again may yet be handled; in its metric nothing would mark it.
            if action != Action.RETRY:
                by_type[error_type] += count
        for error_type, count in by_type.items():
            yield count, {attribute.HANDLER: name, attribute.ERROR_TYPE: error_type}


def _read_failures(numbers: Mapping[str, ProjectionNumbers]) -> Iterable[Reading]:
    # A sum over error types must exist before the first failure, to be seen rising.
    zeros = {(OTHER, action.value): 0 for action in Action}
    for name, tally in numbers.items():
        for (error_type, action), count in {**zeros, **tally.failures}.items():
            labels: dict[str, str] = {attribute.PROJECTION: name, attribute.ERROR_TYPE: error_type}
            labels[attribute.ACTION] = action
            yield count, labels
