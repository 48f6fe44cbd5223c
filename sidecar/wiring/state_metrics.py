"""An observed state as the metrics of the probe process show it."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from sidecar.health.phase import Phase
from sidecar.lint.finding import Finding
from sidecar.postgres.sample import Sample
from sidecar.telemetry import metric
from sidecar.telemetry.emitter import Instrument
from sidecar.telemetry.probe_metrics import Sight
from sidecar.wiring.observed import ObservedState

_STORE: Final = "sidecar.store."
SERVER_METRICS: Final = {
    each.name.removeprefix(_STORE): each
    for each in metric.INSTRUMENTS
    if each.name.startswith(_STORE)
}
"""By the column of `sample_server` that holds its number."""


def to_metrics(state: ObservedState) -> Sight:
    """Return what the metrics show until the next refresh."""
    return Sight(
        projections=state.projections,
        published=state.published,
        numbers={
            metric.READY: state.readiness.ok,
            metric.DRAINING: state.phase is Phase.DRAINING,
            **({} if state.sample is None else _store(state.sample)),
        },
        checks={status.name: status.outcome.value for status in state.checks},
        causes=frozenset(status.cause for status in state.checks if status.cause),
        transitions={
            (name, outcome.value): count for (name, outcome), count in state.transitions.items()
        },
        findings=count_findings(state.findings),
        restarts={
            (worker.name, reason.value): count
            for worker in state.workers
            for reason, count in worker.restarts.items()
        },
        scrape_failures=state.scrape_failures,
        connections=state.sample.activity if state.sample else {},
    )


def count_findings(findings: Iterable[Finding]) -> Counter[tuple[str, str]]:
    """Count the findings that are not silenced, by (rule id, severity)."""
    return Counter((each.id, each.severity.value) for each in findings if each.is_active)


def _store(sample: Sample) -> dict[Instrument, float]:
    return {
        metric.HEAD: sample.head,
        metric.SAFE_HEAD: sample.safe_head,
        metric.HOLD_DURATION: sample.held_seconds,
        metric.SKIPPED_POSITIONS: sample.skipped_positions,
        metric.STORE_UNSAFE: bool(sample.unsafe),
        **{SERVER_METRICS[column]: value for column, value in sample.server.items()},
    }
