"""What the probe process sees, as gauges made from one snapshot in memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from sidecar.projections.projection_status import DeadLetterCount, ProjectionStatus
from sidecar.telemetry import attribute, metric
from sidecar.telemetry.attribute import Attribute
from sidecar.telemetry.collector import Read, Reading
from sidecar.telemetry.emitter import Instrument
from sidecar.telemetry.setup import Telemetry


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that the probe process watches, at one moment.

    Attributes:
        projections: Those that workers run; leave out those that are gone: their series end.
        published: Dead letters of those that an application publishes to, by projection.
        numbers: Those that have no attributes; leave out what could not be learnt: its series end.
        checks: Outcome by check.
        causes: Why PostgreSQL cannot be used, of a closed set.
        transitions: Changes by (check, outcome), since the start.
        findings: Number by (rule id, severity).
        restarts: Number by (worker, reason), since the start; give zeros from the start.
        scrape_failures: Number by target, since the start.
        connections: Sessions at the server by (application name, state), both bounded.
    """

    projections: Sequence[ProjectionStatus] = ()
    published: Mapping[str, DeadLetterCount] = field(default_factory=dict)
    numbers: Mapping[Instrument, float] = field(default_factory=lambda: {metric.DRAINING: 0})
    checks: Mapping[str, str] = field(default_factory=dict)
    causes: frozenset[str] = frozenset()
    transitions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    findings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    restarts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    scrape_failures: Mapping[str, int] = field(default_factory=dict)
    connections: Mapping[tuple[str, str], int] = field(default_factory=dict)


Look = Callable[[], Sight]
"""Returns what is known now, from memory."""


def observe_sight(telemetry: Telemetry, look: Look) -> None:
    """Show what the probe process sees, from now on."""
    version = telemetry.identity.version
    telemetry.observe(metric.BUILD_INFO, lambda: [(1, {attribute.VERSION: version})])
    for instrument, read in (*_readers(look), *_number_readers(look)):
        telemetry.observe(instrument, read)


def observe_loop_lag(telemetry: Telemetry, read_seconds: Callable[[], float | None]) -> None:
    """Show how late the event loop is; None leaves the series out."""
    telemetry.observe(metric.LOOP_LAG, lambda: _known(read_seconds()))


def observe_agent_failures(
    telemetry: Telemetry, read: Callable[[], Iterable[tuple[str, int]]]
) -> None:
    """Show how often each part of an agent failed, while its process went on."""
    telemetry.observe(
        metric.AGENT_FAILURES,
        lambda: [(count, {attribute.PART: part}) for part, count in read()],
    )


def _readers(look: Look) -> Iterable[tuple[Instrument, Read]]:
    yield metric.LAG_EVENTS, lambda: _by_projection(look(), lambda p: p.lag_events)
    yield metric.LAG, lambda: _by_projection(look(), lambda p: p.lag_seconds)
    yield metric.DEAD_LETTERS, lambda: _dead_letters(look())
    yield metric.PARKED_STREAMS, lambda: _parked_streams(look())
    yield metric.PASSED_OVER, lambda: _by_projection(look(), _count_passed_over)
    yield (
        metric.PROJECTION_STATUS,
        lambda: _states(look(), attribute.PROJECTION_STATE, lambda p: p.status),
    )
    yield (
        metric.PROJECTION_REBUILD,
        lambda: _states(look(), attribute.REBUILD_STATE, lambda p: p.rebuild),
    )
    yield metric.CAUSES, lambda: ((1, {attribute.CAUSE: cause}) for cause in look().causes)
    yield metric.CHECK_STATUS, lambda: _check_statuses(look())
    yield (
        metric.CHECK_TRANSITIONS,
        lambda: _pairs(look().transitions, metric.CHECK_TRANSITIONS),
    )
    yield metric.CONFIG_FINDINGS, lambda: _pairs(look().findings, metric.CONFIG_FINDINGS)
    yield metric.WORKER_RESTARTS, lambda: _pairs(look().restarts, metric.WORKER_RESTARTS)
    yield metric.AGENT_SCRAPE_FAILURES, lambda: _scrape_failures(look())
    yield (
        metric.SERVER_CONNECTIONS,
        lambda: _pairs(look().connections, metric.SERVER_CONNECTIONS),
    )


def _number_readers(look: Look) -> Iterable[tuple[Instrument, Read]]:
    for each in metric.INSTRUMENTS:
        if not each.attributes and each.processes == metric.PROBE.processes:
            yield each, partial(_read_number, look, each)


def _read_number(look: Look, instrument: Instrument) -> Iterable[Reading]:
    return _known(look().numbers.get(instrument))


def _known(value: float | None) -> Iterable[Reading]:
    return [] if value is None else [(float(value), {})]


def _by_projection(sight: Sight, choose: Callable[[ProjectionStatus], float]) -> Iterable[Reading]:
    return [(choose(each), {attribute.PROJECTION: each.name}) for each in sight.projections]


def _dead_letters(sight: Sight) -> Iterable[Reading]:
    yield from _by_projection(sight, lambda p: p.dead_letters)
    for name, count in sight.published.items():
        yield count.letters, {attribute.PROJECTION: name}


def _parked_streams(sight: Sight) -> Iterable[Reading]:
    yield from _by_projection(sight, lambda p: p.parked_streams)
    for name, count in sight.published.items():
        yield count.parked, {attribute.PROJECTION: name}


def _count_passed_over(projection: ProjectionStatus) -> int:
    return sum(each.events for each in projection.passed_over)


def _states(
    sight: Sight, state: Attribute, choose: Callable[[ProjectionStatus], str]
) -> Iterable[Reading]:
    for projection in sight.projections:
        for word in state.members:
            value = int(choose(projection) == word)
            yield value, {attribute.PROJECTION: projection.name, state: word}


def _check_statuses(sight: Sight) -> Iterable[Reading]:
    for check, outcome in sight.checks.items():
        for word in attribute.CHECK_OUTCOME.members:
            labels: dict[str, str] = {attribute.CHECK: check, attribute.CHECK_OUTCOME: word}
            yield int(outcome == word), labels


def _pairs(counts: Mapping[tuple[str, str], int], instrument: Instrument) -> Iterable[Reading]:
    first, second = instrument.attributes
    for (one, other), count in tuple(counts.items()):
        yield count, {first: one, second: other}


def _scrape_failures(sight: Sight) -> Iterable[Reading]:
    for target, count in tuple(sight.scrape_failures.items()):
        yield count, {attribute.TARGET: target}
