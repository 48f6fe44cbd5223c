"""One process's telemetry: tracer, meter, registry, and an end that never hangs."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from opentelemetry import trace
from opentelemetry.metrics import Histogram, Meter
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.trace import SpanProcessor
from prometheus_client import CollectorRegistry

from sidecar.telemetry import metric
from sidecar.telemetry.bounded_export import Losses
from sidecar.telemetry.collector import Read, ReadingCollector
from sidecar.telemetry.emitter import Instrument
from sidecar.telemetry.identity import SCHEMA_URL, SCOPE, Identity
from sidecar.telemetry.otlp_route import Signal, find_route
from sidecar.telemetry.outside import Outside, find_outside, has_meters, make_histogram
from sidecar.telemetry.provider import Shutdown, choose_tracers, make_meters, make_readers
from sidecar.telemetry.redaction import Redact, Redactor

CLOSE_TIMEOUT_SECONDS: Final = 2.0
"""Workers end before the process that supervises them: twice this, and the rest of a shutdown, fit
into five seconds."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The tracer, meter and registry of one process; `close` it before the process ends.

    Attributes:
        identity: Who speaks.
        tracer: Makes every span.
        meter: Makes every instrument; the registry shows what it measured.
        registry: A private one, so that nothing of the host application slips in.
        redact: Masks secrets in exception texts before a span takes them.
        losses: What could not be sent.
    """

    identity: Identity
    tracer: trace.Tracer
    meter: Meter
    registry: CollectorRegistry
    redact: Redact
    losses: Losses
    _readings: tuple[ReadingCollector, ...] = field(repr=False)
    _shutdowns: tuple[Shutdown, ...] = field(repr=False)
    _outside: Outside | None = field(default=None, repr=False)

    @classmethod
    def start(
        cls,
        service_name: str,
        process_name: str,
        *,
        version: str,
        environ: Mapping[str, str],
        own_process: bool = False,
        redact: Redact | None = None,
        span_processors: Sequence[SpanProcessor] = (),
        metric_readers: Sequence[MetricReader] = (),
    ) -> "Telemetry":
        """Set up the process's telemetry; starts threads only where something is sent.

        `OTEL_SDK_DISABLED` switches off what is sent, and all spans. The registry is filled all the
        same: whether a service is well must be known wherever its traces go.

        Args:
            service_name: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` override it.
            process_name: `probe`, `worker-1`, `app`.
            version: Version of the sidecar.
            environ: Where `OTEL_*` is looked up. Of the process's own environment the SDK reads
                the limits of spans, `OTEL_PROPAGATORS` and what is experimental.
            own_process: The process belongs to the sidecar, so that its tracer provider becomes
                the global one and a handler's own instrumentation joins the traces. In an
                application that is the application's decision.
            redact: Masks secrets; by default passwords in URLs and connection strings only.
            span_processors: Receivers of spans beside those of `OTEL_*`; closed with the rest.
            metric_readers: Readers of metrics beside those of `OTEL_*`; closed with the rest.
        """
        identity = Identity.find(service_name, process_name, version, environ)
        registry = CollectorRegistry()
        redact = redact or Redactor()
        losses = Losses()
        resource = identity.resource(environ)
        tracers, close_tracers = choose_tracers(
            resource, environ, losses, span_processors, own_process=own_process
        )
        if close_tracers is None:
            # One process is one resource, also where its metrics go another way than its spans.
            resource = getattr(tracers, "resource", resource)
        outside = None
        if not own_process and has_meters() and find_route(environ, Signal.METRICS) is not None:
            outside = find_outside(version)
        readers = [*metric_readers, *([] if outside else make_readers(environ, losses))]
        meters = make_meters(resource, registry, readers)
        meter = meters.get_meter(SCOPE, version, SCHEMA_URL)
        # Where no metrics are sent, Prometheus is served without the SDK between.
        own = ReadingCollector(meter if readers else None)
        if not readers:
            registry.register(own)
        telemetry = cls(
            identity,
            tracers.get_tracer(SCOPE, version, SCHEMA_URL),
            meter,
            registry,
            redact,
            losses,
            _readings=(own, outside.readings) if outside else (own,),
            _shutdowns=(meters.shutdown, *([close_tracers] if close_tracers else [])),
            _outside=outside,
        )
        telemetry.observe({metric.TELEMETRY_DROPPED: losses.read})
        return telemetry

    @classmethod
    def borrow(cls, *, version: str, redact: Redact | None = None) -> "Telemetry":
        """Use the providers that the application has set up for itself, or will yet.

        Nothing is started, so that `close` has nothing to end, and the registry stays empty.
        """
        outside = find_outside(version)
        return cls(
            Identity("", "app", version),
            trace.get_tracer(SCOPE, version, schema_url=SCHEMA_URL),
            outside.meter,
            CollectorRegistry(),
            redact or Redactor(),
            Losses(),
            _readings=(outside.readings,),
            _shutdowns=(),
            _outside=outside,
        )

    def observe(
        self, readers: Mapping[Instrument, Read], about: object | None = None
    ) -> Callable[[], None]:
        """Let functions feed observable instruments; call the returned function to stop.

        Several readers may feed one instrument; what they say of the same series is added up, but
        for several `about` one thing, which counts once however many read it.
        """
        stack = ExitStack()
        for instrument, read in readers.items():
            for readings in self._readings:
                stack.callback(readings.add(instrument, read, about))
        return stack.close

    def histograms(self, instrument: Instrument) -> tuple[Histogram, ...]:
        """Return every histogram that a duration is recorded in, each with bounds for seconds."""
        outside = () if self._outside is None else (self._outside.histogram(instrument),)
        is_borrowed = self._outside is not None and self._outside.meter is self.meter
        return outside if is_borrowed else (make_histogram(self.meter, instrument), *outside)

    def close(self, timeout_seconds: float = CLOSE_TIMEOUT_SECONDS) -> bool:
        """Send what is left and end, within a hard deadline; return True when all of it ended.

        Blocks: call it in a thread. The SDK's own shutdown takes 40 s with a receiver that never
        answers, so each provider ends in a daemon thread that is left behind at the deadline.
        """
        deadline_mono = time.monotonic() + timeout_seconds
        threads = [
            threading.Thread(target=shutdown, name="sidecar-telemetry-close", daemon=True)
            for shutdown in self._shutdowns
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline_mono - time.monotonic()))
        ended = not any(thread.is_alive() for thread in threads)
        lost = self.losses.write_off()
        if lost or not ended:
            logger.warning(
                "Telemetry did not end within %.1f s: %d spans were not sent and are lost.",
                timeout_seconds,
                lost,
                extra={"event": "sidecar.telemetry.close_timeout", "spans": lost},
            )
        return ended
