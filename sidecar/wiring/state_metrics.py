"""An observed state as the metrics of the probe process show it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from sidecar.health.phase import Phase
from sidecar.postgres.samples.sample import Sample
from sidecar.projections.drift import VerificationStatus
from sidecar.projections.projection_status import ProjectionStatus
from sidecar.telemetry import attribute, metric
from sidecar.telemetry.attribute import Attribute
from sidecar.telemetry.collector import Reading
from sidecar.telemetry.emitter import Instrument
from sidecar.telemetry.setup import Telemetry
from sidecar.wiring.observed import ObservedState

_STORE: Final = "sidecar.store."
SERVER_METRICS: Final = {
    each.name.removeprefix(_STORE): each
    for each in metric.INSTRUMENTS
    if each.name.startswith(_STORE)
}
"""By the column of `sample_server` that holds its number."""

ToReadings = Callable[[ObservedState], Iterable[Reading]]


def observe_state(telemetry: Telemetry, look: Callable[[], ObservedState]) -> None:
    """Show what the probe process observed, from now on.

    What is not known, or gone, is left out: its series end.
    """
    version = telemetry.identity.version
    numbers = {
        each: partial(_read_number, each, look)
        for each in metric.INSTRUMENTS
        if not each.attributes and each.processes == metric.PROBE.processes
    }
    others = {each: partial(_read, read, look) for each, read in _READERS.items()}
    telemetry.observe({metric.BUILD_INFO: lambda: [(1, {attribute.VERSION: version})]})
    telemetry.observe({**numbers, **others})


def to_numbers(state: ObservedState) -> Mapping[Instrument, float]:
    """Return the numbers without attributes, as far as they are known."""
    ready = {} if state.readiness is None else {metric.READY: state.readiness.ok}
    store = {} if state.sample is None else _store(state.sample)
    return {metric.DRAINING: state.phase is Phase.DRAINING, **ready, **store}


def count_dead_letters(state: ObservedState) -> dict[str, int]:
    """Return the open dead letters by projection, run by workers or published to."""
    published = {name: count.letters for name, count in state.published.items()}
    return {each.name: each.dead_letters for each in state.projections} | published


def count_parked_streams(state: ObservedState) -> dict[str, int]:
    """Return the parked streams by projection, run by workers or published to."""
    published = {name: count.parked for name, count in state.published.items()}
    return {each.name: each.parked_streams for each in state.projections} | published


def count_deleted_letters(state: ObservedState) -> dict[str, int]:
    """Return the dead letters that were deleted by hand, by projection, run by workers or not."""
    none = dict.fromkeys((each.name for each in state.projections), 0)
    return none | {name: deleted.letters for name, deleted in state.deleted.items()}


def count_findings(state: ObservedState) -> Mapping[tuple[str, str], int]:
    """Return how many findings there are by (rule id, severity), without silenced ones."""
    return Counter((each.id, each.severity.value) for each in state.findings if each.is_active)


def _count_restarts(state: ObservedState) -> dict[tuple[str, str], int]:
    return {
        (worker.name, reason.value): count
        for worker in state.workers
        for reason, count in worker.restarts.items()
    }


def _store(sample: Sample) -> dict[Instrument, float]:
    return {
        metric.HEAD: sample.head,
        metric.SAFE_HEAD: sample.safe_head,
        metric.HOLD_DURATION: sample.held_seconds,
        metric.SKIPPED_POSITIONS: sample.skipped_positions,
        metric.STORE_UNSAFE: bool(sample.unsafe),
        metric.LOST_EVENTS: sum(loss.events for loss in sample.losses),
        **{SERVER_METRICS[column]: value for column, value in sample.server.items()},
    }


def _states(
    state: ObservedState, label: Attribute, choose: Callable[[ProjectionStatus], str]
) -> Iterable[Reading]:
    for projection in state.projections:
        yield from _one_of(label, choose(projection), {attribute.PROJECTION: projection.name})


def _check_statuses(state: ObservedState) -> Iterable[Reading]:
    for status in state.checks:
        yield from _one_of(attribute.CHECK_OUTCOME, status.outcome, {attribute.CHECK: status.name})


def _one_of(label: Attribute, chosen: str, labels: Mapping[str, str]) -> Iterable[Reading]:
    """Yield 1 for the word that is chosen, 0 for each other one."""
    return [(int(chosen == word), {**labels, label: word}) for word in label.members]


def _by(label: str, numbers: Mapping[str, float]) -> Iterable[Reading]:
    return [(number, {label: name}) for name, number in numbers.items()]


def _by_projection(
    state: ObservedState, choose: Callable[[ProjectionStatus], float]
) -> Iterable[Reading]:
    return _by(attribute.PROJECTION, {each.name: choose(each) for each in state.projections})


def _by_verified(
    state: ObservedState, choose: Callable[[VerificationStatus], float]
) -> Iterable[Reading]:
    """Yield a number of each projection whose read model was verified."""
    verified = [each for each in state.projections if each.verification.verified_at is not None]
    return _by(attribute.PROJECTION, {each.name: choose(each.verification) for each in verified})


def _interruptions(state: ObservedState) -> Iterable[Reading]:
    now_at = state.now.timestamp()
    for name, one in state.interruptions.items():
        labels: dict[str, str] = {attribute.PROJECTION: name, attribute.ERROR_TYPE: one.error_type}
        yield now_at - one.since_at, labels


def _pairs(counts: Mapping[tuple[str, str], int], instrument: Instrument) -> Iterable[Reading]:
    first, second = instrument.attributes
    return [(count, {first: one, second: other}) for (one, other), count in counts.items()]


def _read(read: ToReadings, look: Callable[[], ObservedState]) -> Iterable[Reading]:
    return read(look())


def _read_number(instrument: Instrument, look: Callable[[], ObservedState]) -> Iterable[Reading]:
    value = to_numbers(look()).get(instrument)
    return [] if value is None else [(float(value), {})]


_READERS: Final[Mapping[Instrument, ToReadings]] = {
    metric.LAG_EVENTS: lambda s: _by_projection(s, lambda p: p.lag_events),
    metric.LAG: lambda s: _by_projection(s, lambda p: p.lag_seconds),
    metric.DEAD_LETTERS: lambda s: _by(attribute.PROJECTION, count_dead_letters(s)),
    metric.PARKED_STREAMS: lambda s: _by(attribute.PROJECTION, count_parked_streams(s)),
    metric.PASSED_OVER: lambda s: _by_projection(
        s, lambda p: sum(each.events for each in p.passed_over)
    ),
    metric.DELETED_DEAD_LETTERS: lambda s: _by(attribute.PROJECTION, count_deleted_letters(s)),
    metric.DRIFT_ROWS: lambda s: _by_verified(s, lambda v: v.drift_rows),
    metric.LOST_TABLES: lambda s: _by_projection(s, lambda p: p.lost_tables),
    metric.INTERRUPTION: _interruptions,
    metric.VERIFIED: lambda s: _by_verified(
        s, lambda v: 0.0 if v.verified_at is None else v.verified_at.timestamp()
    ),
    metric.PROJECTION_STATUS: lambda s: _states(s, attribute.PROJECTION_STATE, lambda p: p.status),
    metric.PROJECTION_REBUILD: lambda s: _states(s, attribute.REBUILD_STATE, lambda p: p.rebuild),
    metric.CAUSES: lambda s: [(1, {attribute.CAUSE: cause}) for cause in s.causes],
    metric.CHECK_STATUS: _check_statuses,
    metric.CHECK_TRANSITIONS: lambda s: _pairs(s.transitions, metric.CHECK_TRANSITIONS),
    metric.CONFIG_FINDINGS: lambda s: _pairs(count_findings(s), metric.CONFIG_FINDINGS),
    metric.WORKER_RESTARTS: lambda s: _pairs(_count_restarts(s), metric.WORKER_RESTARTS),
    metric.AGENT_SCRAPE_FAILURES: lambda s: _by(attribute.TARGET, s.scrape_failures),
    metric.SERVER_CONNECTIONS: lambda s: _pairs(s.connections, metric.SERVER_CONNECTIONS),
}
