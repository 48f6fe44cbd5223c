"""`/api/status`, which the status page shows: an observed state as plain data."""

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sidecar.events.subscriber import SubscriberKind
from sidecar.health.check_status import CheckStatus
from sidecar.health.history import History, Point
from sidecar.postgres.samples.sample import Sample
from sidecar.process.application import ProcessStatus
from sidecar.process.worker_place import WorkerStatus
from sidecar.projections.drift import describe_verification
from sidecar.projections.projection_sample import FailureSample
from sidecar.projections.projection_status import ProjectionStatus
from sidecar.wiring.headline import describe, list_troubled, weigh
from sidecar.wiring.in_process import SubscriberStatus
from sidecar.wiring.observed import ObservedState

Row = dict[str, Any]


def to_json(state: ObservedState, history: History, *, service: str, version: str) -> Row:
    """Return everything that the status page shows."""
    pools = ((process, pool) for process, pools in state.pools.items() for pool in pools)
    return {
        "service": service,
        "version": version,
        "phase": state.phase.value,
        "ready": state.is_ready,
        "outcome": weigh(state.is_ready, state.checks),
        "verdict": describe(state),
        "trouble": [_check_to_json(status) for status in list_troubled(state.checks)],
        "checks": [_check_to_json(status) for status in state.checks],
        "projections": [
            *(_projection_to_json(each, state, history) for each in state.projections),
            *_subscribers_to_json(state, SubscriberKind.PROJECTION),
        ],
        "handlers": _subscribers_to_json(state, SubscriberKind.HANDLER),
        "store": None if state.sample is None else _store_to_json(state.sample),
        "workers": [_worker_to_json(worker) for worker in state.workers],
        "application": [_member_to_json(member, state.now_mono) for member in state.members],
        "pools": [{"process": process, **dataclasses.asdict(pool)} for process, pool in pools],
        "loop_restarts": dict(state.loop_restarts),
        "findings": [finding.as_dict() for finding in state.findings],
        "failures": [_failure_to_json(failure) for failure in _failures(state)],
    }


def to_points(state: ObservedState) -> Mapping[str, Point]:
    """Return what the history keeps of each projection; none while they are not seen."""
    return {each.name: Point(each.position, each.lag_seconds) for each in state.projections}


def _failures(state: ObservedState) -> tuple[FailureSample, ...]:
    return state.sample.failures if state.sample else ()


def _check_to_json(status: CheckStatus) -> Row:
    return {
        **_pick(status, "name", "outcome", "reason", "observed_value", "observed_unit"),
        "detail": status.detail or None,
        "critical": status.check.critical,
        "age_seconds": status.age_seconds,
    }


def _projection_to_json(
    projection: ProjectionStatus, state: ObservedState, history: History
) -> Row:
    name = projection.name
    projection = projection.with_interruption(state.interruptions.get(name))
    last = next((each for each in _failures(state) if each.projection == name), None)
    return {
        **_standing_to_json(projection),
        "detail": state.refused.get(name) or _add_setup(projection.detail, state.setups.get(name)),
        "heartbeat_age_seconds": state.loop_ages.get(name),
        "block": projection.block,
        "release": projection.release,
        "verified": describe_verification(
            projection.verification, state.now, projection.code_changed_at
        ),
        "drift_rows": projection.verification.drift_rows,
        "last_failure": None if last is None else _failure_to_json(last),
        "events_per_second": history.events_per_second(name),
        "lag_history": history.lags(name),
    }


def subscriber_to_json(status: SubscriberStatus) -> Row:
    """Return one that the application calls itself, in the keys of those that workers run."""
    failure = None
    if status.failed_at is not None:
        failure = {"error_type": status.error_type, "at": status.failed_at.isoformat()}
    return {
        **_standing_to_json(status),
        **_pick(status, "detail", "handled", "failed"),
        "heartbeat_age_seconds": None,
        "block": None,
        "release": None,
        "verified": None,
        "drift_rows": 0,
        "last_failure": failure,
        "events_per_second": None,
        "lag_history": [],
    }


def _standing_to_json(status: ProjectionStatus | SubscriberStatus) -> Row:
    return {
        **_pick(status, "name", "kind", "status", "position", "lag_events", "lag_seconds"),
        **_pick(status, "dead_letters", "parked_streams", "rebuild", "progress"),
        "owner": ", ".join(status.owners) or None,
    }


def _add_setup(detail: str | None, seconds: float | None) -> str | None:
    if seconds is None:
        return detail
    setup = f"its setup in a worker has waited or run for {seconds:.0f} s"
    return setup if detail is None else f"{detail}; {setup}"


def _subscribers_to_json(state: ObservedState, kind: SubscriberKind) -> list[Row]:
    return [
        subscriber_to_json(SubscriberStatus.of(each, state.published, state.now_mono, state.now))
        for each in state.subscribers.values()
        if each.kind is kind
    ]


def _failure_to_json(failure: FailureSample) -> Row:
    """Return one unresolved dead letter, with the command that cures it."""
    return {
        **_pick(failure, "id", "projection", "stream", "position", "event_type", "error_type"),
        **_pick(failure, "attempts", "trace_id"),
        "at": failure.last_failed_at.isoformat(),
        "command": f"sidecar dead-letters retry {failure.id}",
    }


def _store_to_json(sample: Sample) -> Row:
    holder = ("pid", "application_name", "state", "age_seconds")
    return {
        **_pick(sample, "head", "safe_head", "held_seconds", "skipped_positions"),
        "unsafe": sample.unsafe or None,
        "held_by": [_pick(writer, *holder) for writer in sample.writers],
    }


def _worker_to_json(worker: WorkerStatus) -> Row:
    return {
        **_pick(worker, "name", "state", "pid"),
        "restarts": sum(worker.restarts.values()),
        "loop_lag_seconds": worker.heartbeat.loop_lag_seconds if worker.heartbeat.pid else None,
    }


def _member_to_json(member: ProcessStatus, now_mono: float) -> Row:
    answered_mono, beat = member.answered_mono, member.heartbeat
    return {
        "name": member.name,
        "pid": beat.pid or None,
        "silent_seconds": None if answered_mono is None else now_mono - answered_mono,
        "loop_lag_seconds": beat.loop_lag_seconds,
        "left_out": beat.left_out,
        "troubles": dict(beat.troubles),
    }


def _pick(source: object, *names: str) -> Row:
    """Return attributes under their own names; a word of a closed set as plain text."""
    found = {name: getattr(source, name) for name in names}
    return {name: str(one) if isinstance(one, StrEnum) else one for name, one in found.items()}
