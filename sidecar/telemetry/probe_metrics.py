"""What the probe process sees, as gauges made from one snapshot in memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.health.outcome import Outcome
from sidecar.projections.projection_status import Rebuild, Status
from sidecar.telemetry import contract
from sidecar.telemetry.collector import Read, Reading
from sidecar.telemetry.contract import Instrument
from sidecar.telemetry.setup import Telemetry


@dataclass(frozen=True, slots=True)
class ProjectionSight:
    """One projection as the database shows it; None where it could not be learnt."""

    name: str
    status: str | None = None
    lag_events: int | None = None
    lag_seconds: float | None = None
    dead_letters: int | None = None
    parked_streams: int | None = None
    rebuild: str | None = None
    passed_over: int | None = None


@dataclass(frozen=True, slots=True)
class StoreSight:
    """The event store as the last sample showed it; None where it could not be learnt."""

    head_position: int | None = None
    safe_head_position: int | None = None
    hold_seconds: float | None = None
    skipped_positions: int | None = None
    is_unsafe: bool | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that the probe process watches, at one moment.

    Attributes:
        projections: Leave out those that are gone: their series end.
        store: What a failed sample did not yield is None: its series end too.
        checks: Outcome by check.
        causes: Why PostgreSQL cannot be used, of a closed set.
        transitions: Changes by (check, outcome), since the start.
        findings: Number by (rule id, severity).
        restarts: Number by (worker, reason), since the start; give zeros from the start.
        scrape_failures: Number by target, since the start.
        connections: Sessions at the server by (application name, state), both bounded.
        ready: Whether traffic may come; None before the first verdict.
        draining: Whether the process is shutting down.
    """

    projections: Sequence[ProjectionSight] = ()
    store: StoreSight = field(default_factory=StoreSight)
    checks: Mapping[str, str] = field(default_factory=dict)
    causes: frozenset[str] = frozenset()
    transitions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    findings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    restarts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    scrape_failures: Mapping[str, int] = field(default_factory=dict)
    connections: Mapping[tuple[str, str], int] = field(default_factory=dict)
    ready: bool | None = None
    draining: bool = False


Look = Callable[[], Sight]
"""Returns what is known now, from memory."""


def observe_sight(telemetry: Telemetry, look: Look) -> None:
    """Show what the probe process sees, from now on."""
    version = telemetry.identity.version
    telemetry.observe(contract.BUILD_INFO, lambda: [(1, {contract.VERSION: version})])
    for instrument, read in _readers(look):
        telemetry.observe(instrument, read)


def observe_loop_lag(telemetry: Telemetry, read_seconds: Callable[[], float | None]) -> None:
    """Show how late the event loop is; None leaves the series out."""
    telemetry.observe(contract.LOOP_LAG, lambda: _known(read_seconds()))


def observe_agent_failures(
    telemetry: Telemetry, read: Callable[[], Iterable[tuple[str, int]]]
) -> None:
    """Show how often each part of an agent failed, while its process went on."""
    telemetry.observe(
        contract.AGENT_FAILURES,
        lambda: [(count, {contract.PART: part}) for part, count in read()],
    )


def _readers(look: Look) -> Iterable[tuple[Instrument, Read]]:
    yield contract.LAG_EVENTS, lambda: _by_projection(look(), lambda p: p.lag_events)
    yield contract.LAG, lambda: _by_projection(look(), lambda p: p.lag_seconds)
    yield contract.DEAD_LETTERS, lambda: _by_projection(look(), lambda p: p.dead_letters)
    yield contract.PARKED_STREAMS, lambda: _by_projection(look(), lambda p: p.parked_streams)
    yield contract.PASSED_OVER, lambda: _by_projection(look(), lambda p: p.passed_over)
    yield contract.PROJECTION_STATUS, lambda: _states(look(), Status, lambda p: p.status)
    yield contract.PROJECTION_REBUILD, lambda: _states(look(), Rebuild, lambda p: p.rebuild)
    yield contract.HEAD, lambda: _known(look().store.head_position)
    yield contract.SAFE_HEAD, lambda: _known(look().store.safe_head_position)
    yield contract.HOLD_DURATION, lambda: _known(look().store.hold_seconds)
    yield contract.SKIPPED_POSITIONS, lambda: _known(look().store.skipped_positions)
    yield contract.STORE_UNSAFE, lambda: _known(look().store.is_unsafe)
    yield contract.CAUSES, lambda: ((1, {contract.CAUSE: cause}) for cause in look().causes)
    yield contract.CHECK_STATUS, lambda: _check_statuses(look())
    yield contract.CHECK_TRANSITIONS, lambda: _pairs(look().transitions, contract.CHECK_TRANSITIONS)
    yield contract.CONFIG_FINDINGS, lambda: _pairs(look().findings, contract.CONFIG_FINDINGS)
    yield contract.WORKER_RESTARTS, lambda: _pairs(look().restarts, contract.WORKER_RESTARTS)
    yield contract.AGENT_SCRAPE_FAILURES, lambda: _scrape_failures(look())
    yield (
        contract.SERVER_CONNECTIONS,
        lambda: _pairs(look().connections, contract.SERVER_CONNECTIONS),
    )
    yield contract.READY, lambda: _known(look().ready)
    yield contract.DRAINING, lambda: _known(look().draining)


def _known(value: float | None) -> Iterable[Reading]:
    return [] if value is None else [(float(value), {})]


def _by_projection(
    sight: Sight, choose: Callable[[ProjectionSight], float | None]
) -> Iterable[Reading]:
    for projection in sight.projections:
        value = choose(projection)
        if value is not None:
            yield value, {contract.PROJECTION: projection.name}


def _states(
    sight: Sight, words: type[StrEnum], choose: Callable[[ProjectionSight], str | None]
) -> Iterable[Reading]:
    for projection in sight.projections:
        chosen = choose(projection)
        if chosen is not None:
            for word in words:
                labels = {contract.PROJECTION: projection.name, contract.STATUS: word.value}
                yield int(chosen == word), labels


def _check_statuses(sight: Sight) -> Iterable[Reading]:
    for check, outcome in sight.checks.items():
        for status in Outcome:
            yield int(outcome == status), {contract.CHECK: check, contract.STATUS: status.value}


def _pairs(counts: Mapping[tuple[str, str], int], instrument: Instrument) -> Iterable[Reading]:
    first, second = instrument.attributes
    for (one, other), count in tuple(counts.items()):
        yield count, {first: one, second: other}


def _scrape_failures(sight: Sight) -> Iterable[Reading]:
    for target, count in tuple(sight.scrape_failures.items()):
        yield count, {contract.TARGET: target}
