"""What `/api/status`, the status page and the metrics show, made from memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from sidecar.health.history import History, Point
from sidecar.health.status import CheckStatus
from sidecar.postgres.sample import Sample
from sidecar.process.application import Member
from sidecar.process.heartbeat import PoolReport
from sidecar.process.supervisor import WorkerPlace
from sidecar.projections.passed_over import describe_passed_over
from sidecar.projections.projection_status import (
    DeadLetterCount,
    FailureSample,
    ProjectionStatus,
    Rebuild,
    Status,
)
from sidecar.telemetry.probe_metrics import ProjectionSight, StoreSight
from sidecar.wiring.headline import order_reasons, say_troubles, say_workers

REBUILD_MARK: Final = "(rebuild)"
MOST_TOLD: Final = 5
"""Projections in the headline; the page has a row for each."""

_WORST_FIRST: Final = (Status.FAILED, Status.STALLED, Status.UNOWNED)


def show_check(status: CheckStatus) -> dict[str, Any]:
    """Return one check as plain data."""
    return {
        "name": status.name,
        "outcome": status.outcome.value,
        "reason": status.reason,
        "detail": status.detail or None,
        "critical": status.check.critical,
        "observed_value": status.observed_value,
        "observed_unit": status.observed_unit,
        "age_seconds": status.age_seconds,
    }


def show_standing(
    standing: ProjectionStatus,
    failures: Sequence[FailureSample],
    silent_seconds: float | None,
    setup_seconds: float | None = None,
    refusal: str | None = None,
) -> dict[str, Any]:
    """Return one projection as plain data."""
    last = next((f for f in failures if f.projection == standing.name), None)
    return {
        "name": standing.name,
        "kind": standing.kind,
        "status": standing.status.value,
        "position": standing.position,
        "lag_events": standing.lag_events,
        "lag_seconds": standing.lag_seconds,
        "dead_letters": standing.dead_letters,
        "parked_streams": standing.parked_streams,
        "owner": ", ".join(standing.owners) or None,
        "rebuild": standing.rebuild.value,
        "progress": standing.progress,
        "detail": refusal or _tell_setup(standing.detail, setup_seconds),
        "heartbeat_age_seconds": silent_seconds,
        "last_failure": None if last is None else show_failure(last),
    }


def show_failure(failure: FailureSample) -> dict[str, Any]:
    """Return one unresolved dead letter as plain data, with the command that cures it."""
    return {
        "id": failure.id,
        "projection": failure.projection,
        "stream": failure.stream,
        "position": failure.position,
        "event_type": failure.event_type,
        "error_type": failure.error_type,
        "attempts": failure.attempts,
        "trace_id": failure.trace_id,
        "at": failure.last_failed_at.isoformat(),
        "command": f"sidecar dead-letters retry {failure.id}",
    }


def show_store(sample: Sample | None) -> dict[str, Any] | None:
    """Return the event store as plain data; None while it is not seen."""
    if sample is None:
        return None
    return {
        "head": sample.head,
        "safe_head": sample.safe_head,
        "held_seconds": sample.held_seconds,
        "skipped_positions": sample.skipped_positions,
        "unsafe": sample.unsafe or None,
        "held_by": [
            {
                "pid": writer.pid,
                "application_name": writer.application_name,
                "state": writer.state,
                "age_seconds": writer.age_seconds,
            }
            for writer in sample.writers
        ],
    }


def show_worker(worker: WorkerPlace) -> dict[str, Any]:
    """Return one worker as plain data."""
    return {
        "name": worker.name,
        "state": worker.state.value,
        "pid": worker.pid,
        "restarts": sum(worker.restarts.values()),
        "loop_lag_seconds": worker.heartbeat.get("loop_lag_seconds"),
    }


def show_member(member: Member) -> dict[str, Any]:
    """Return one process of the application as plain data."""
    poller = member.poller
    return {
        "name": member.name,
        "pid": poller.heartbeat.pid or None,
        "silent_seconds": poller.contact.silent_seconds(),
        "loop_lag_seconds": poller.heartbeat.loop_lag_seconds,
        "left_out": poller.heartbeat.left_out,
        "troubles": dict(poller.heartbeat.troubles),
    }


def show_pool(process: str, pool: PoolReport) -> dict[str, Any]:
    """Return one pool as plain data."""
    return {"process": process, **msgspec.structs.asdict(pool)}


def count_restarts(workers: Sequence[WorkerPlace]) -> dict[tuple[str, str], int]:
    """Count restarts by (worker, reason), zeros included."""
    return {
        (worker.name, reason.value): count
        for worker in workers
        for reason, count in worker.restarts.items()
    }


def silences_of(workers: Sequence[WorkerPlace], now_mono: float) -> dict[str, float]:
    """Return how many seconds ago each projection's loop turned, the worst of its partitions.

    What a worker told is as old as its answer. No wall time is in it: somebody may set the clock.
    """
    silences: dict[str, float] = {}
    for worker in workers:
        told = worker.heartbeat.get("projections")
        for partition, numbers in told.items() if isinstance(told, Mapping) else ():
            age = numbers.get("heartbeat_age_seconds") if isinstance(numbers, Mapping) else None
            if isinstance(age, int | float) and not str(partition).endswith(REBUILD_MARK):
                name = str(partition).partition("/")[0]
                age += now_mono - (worker.answered_mono or worker.started_mono)
                silences[name] = max(silences.get(name, 0.0), age)
    return silences


def setups_of(workers: Sequence[WorkerPlace]) -> dict[str, float]:
    """Return the age of each projection's setup that is not over, the oldest of all workers."""
    setups: dict[str, float] = {}
    for worker in workers:
        told = worker.heartbeat.get("setups")
        for name, seconds in told.items() if isinstance(told, Mapping) else ():
            if isinstance(seconds, int | float):
                setups[str(name)] = max(setups.get(str(name), 0.0), float(seconds))
    return setups


def refusals_of(workers: Sequence[WorkerPlace]) -> dict[str, str]:
    """Return why workers must not run projections, whoever runs them elsewhere, by name."""
    refusals: dict[str, str] = {}
    for worker in workers:
        told = worker.heartbeat.get("refused")
        for name, sentence in told.items() if isinstance(told, Mapping) else ():
            refusals[str(name)] = str(sentence)
    return refusals


def _tell_setup(detail: str | None, seconds: float | None) -> str | None:
    if seconds is None:
        return detail
    told = f"its setup in a worker has waited or run for {seconds:.0f} s"
    return told if detail is None else f"{detail}; {told}"


def see_projections(sample: Sample | None) -> list[ProjectionSight]:
    """Return the projections as the metrics see them; none when the last look failed."""
    if sample is None:
        return []
    followed = [
        ProjectionSight(
            standing.name,
            standing.status.value,
            standing.lag_events,
            standing.lag_seconds,
            standing.dead_letters,
            standing.parked_streams,
            standing.rebuild.value,
            sum(passed.events for passed in standing.passed_over),
        )
        for standing in sample.standings
    ]
    published = [
        ProjectionSight(name, dead_letters=count.letters, parked_streams=count.parked)
        for name, count in sample.published.items()
    ]
    return followed + published


def see_store(sample: Sample | None) -> StoreSight:
    """Return the event store as the metrics see it."""
    if sample is None:
        return StoreSight()
    return StoreSight(
        sample.head,
        sample.safe_head,
        sample.held_seconds,
        sample.skipped_positions,
        bool(sample.unsafe),
    )


def count_findings(findings: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    """Count the findings that nobody silenced, by (rule id, severity)."""
    return Counter((f["id"], f["severity"]) for f in findings if f["silenced_by"] is None)


def see_points(sample: Sample | None) -> dict[str, Point]:
    """Return what the history keeps of each projection; none when the last look failed."""
    standings = sample.standings if sample else ()
    return {one.name: Point(one.position, one.lag_seconds) for one in standings}


def show_history(name: str, history: History) -> dict[str, Any]:
    """Return a projection's last quarter of an hour as plain data."""
    return {
        "events_per_second": history.events_per_second(name),
        "lag_history": history.lags(name),
    }


def say(
    ready: bool,  # noqa: FBT001
    reasons: Sequence[str],
    sample: Sample | None,
    *,
    workers: Sequence[WorkerPlace] = (),
    statuses: Sequence[CheckStatus] = (),
    inside: Sequence[str] = (),
) -> str:
    """Put the state into a few sentences: who does not work first, then why.

    Args:
        ready: Whether traffic may come.
        reasons: Codes of what is not as it should be.
        sample: The last look at the database; None while there is none.
        workers: All of them.
        statuses: Of every check.
        inside: What is to be said of subscribers in the application itself.
    """
    codes = ", ".join(order_reasons(reasons, statuses)) or "starting"
    head = "Ready." if ready else f"Not ready: {codes}."
    said = [say_workers(workers), head, *say_troubles(statuses), *inside]
    if sample is not None:
        said += [*_say_projections(sample), *_say_all_published(sample)]
        # Last and without a full stop, for it ends with a statement to copy.
        said += [f"Events may be missed: {sample.unsafe}"] if sample.unsafe else []
    return " ".join(filter(None, said))


def _say_projections(sample: Sample) -> list[str]:
    """Say which projections need a look, the worst first; with very many, how many more."""
    errors = _errors_of(sample)
    worst_first = sorted(sample.standings, key=_rank)
    said = [_say_standing(one, errors.get(one.name, ())) for one in worst_first]
    told = [sentence for sentence in said if sentence]
    more = len(told) - MOST_TOLD
    return [*told[:MOST_TOLD], f"{more} more projections need a look."] if more > 0 else told


def _say_all_published(sample: Sample) -> list[str]:
    errors = _errors_of(sample)
    return [
        _say_published(name, count, errors.get(name, ()))
        for name, count in sample.published.items()
    ]


def _errors_of(sample: Sample) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    for failure in sample.failures:
        errors.setdefault(failure.projection, []).append(failure.error_type)
    return errors


def _rank(standing: ProjectionStatus) -> tuple[int, bool, float]:
    """Order projections by how much they need a person."""
    place = _WORST_FIRST.index(standing.status) if standing.status in _WORST_FIRST else 99
    return place, not standing.dead_letters, -standing.lag_seconds


def _say_standing(standing: ProjectionStatus, errors: Sequence[str]) -> str:
    parts = []
    if standing.status in {Status.FAILED, Status.STALLED, Status.UNOWNED, Status.PAUSED}:
        parts.append(f"is {standing.status.value}")
    if standing.rebuild is Rebuild.RUNNING:
        parts.append("is being rebuilt")
    if standing.rebuild is Rebuild.HALTED:
        parts.append("has a rebuild that failed")
    if standing.lag_seconds >= 1:
        parts.append(f"is {standing.lag_seconds:.0f} s behind")
    if standing.parked_streams:
        streams = _count(standing.parked_streams, "stream")
        parts.append(f"has {streams} parked{_say_cause(standing.oldest_letter_at, errors)}")
    elif standing.dead_letters:
        letters = _count(standing.dead_letters, "dead letter")
        parts.append(f"has {letters}{_say_cause(standing.oldest_letter_at, errors)}")
    said = [f"Projection {standing.name} {' and '.join(parts)}."] if parts else []
    if told := describe_passed_over(standing.name, standing.kind, standing.passed_over):
        said.append(f"Of {standing.name} {told}.")
    return " ".join(said)


def _say_published(name: str, count: DeadLetterCount, errors: Sequence[str]) -> str:
    letters = _count(count.letters, "dead letter")
    return f"Publishing to {name} left {letters}{_say_cause(count.oldest_at, errors)}."


def _say_cause(oldest_at: datetime | None, errors: Sequence[str]) -> str:
    since = f" since {oldest_at:%H:%M}" if oldest_at else ""
    return since + "".join(f", {error}" for error in dict.fromkeys(errors))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
