"""What the page says first: how bad it is, who does not work, and why. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from sidecar.health.check_status import CheckStatus
from sidecar.health.outcome import Outcome
from sidecar.health.verdict import fold
from sidecar.postgres.samples.sample import Sample
from sidecar.process.worker_place import WorkerState, WorkerStatus
from sidecar.projections.deleted_letters import describe_deleted
from sidecar.projections.drift import describe_drift
from sidecar.projections.log_memory import describe_loss
from sidecar.projections.passed_over import describe_passed_over
from sidecar.projections.projection_sample import DeadLetterCount
from sidecar.projections.projection_status import ProjectionStatus, Rebuild, Status
from sidecar.projections.table_change import describe_changes
from sidecar.wiring.in_process import describe_failures
from sidecar.wiring.observed import ObservedState

MOST_REASONS: Final = 2
"""Sentences of checks in the headline; all of them stand below it."""

MOST_DESCRIBED: Final = 5
"""Projections in the headline; the page has a row for each."""

_WORST_FIRST: Final = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.WARN, Outcome.PASS)
_REBUILDS: Final = {
    Rebuild.RUNNING: "is being rebuilt",
    Rebuild.HALTED: "has a rebuild that failed",
    Rebuild.IN_PLACE: "is incomplete while it is rebuilt in place",
}
_ALARMING: Final = (Status.FAILED, Status.STALLED, Status.UNOWNED)


def describe(state: ObservedState) -> str:
    """Return a few sentences: who does not work first, then why."""
    reasons = state.readiness.reasons if state.readiness else ()
    codes = ", ".join(order_reasons(reasons, state.checks)) or "starting"
    sentences = [
        describe_workers(state.workers),
        "Ready." if state.is_ready else f"Not ready: {codes}.",
        *describe_troubles(state.checks),
        *describe_failures(state.subscribers.values(), state.now_mono),
        *(_describe_store(state.sample) if state.sample else ()),
    ]
    return " ".join(dict.fromkeys(filter(None, sentences)))


def weigh(ready: bool, statuses: Iterable[CheckStatus]) -> str:  # noqa: FBT001
    """Return `pass`, `warn` or `fail`: the worst check counts, also one that stops no traffic."""
    outcome = fold(status.outcome for status in statuses)
    if not ready or outcome is Outcome.FAIL:
        return Outcome.FAIL.value
    return Outcome.PASS.value if outcome is Outcome.PASS else Outcome.WARN.value


def list_troubled(statuses: Iterable[CheckStatus]) -> list[CheckStatus]:
    """Return the checks that do not pass, the worst first, and of those what stops traffic."""
    wrong = (status for status in statuses if status.outcome is not Outcome.PASS)
    return sorted(wrong, key=lambda one: (_WORST_FIRST.index(one.outcome), not one.check.critical))


def order_reasons(reasons: Sequence[str], statuses: Iterable[CheckStatus]) -> list[str]:
    """Return the codes with those first that keep traffic away."""
    lesser = {one.reason for one in statuses if not one.check.critical or one.outcome.is_sound}
    return sorted(reasons, key=lambda reason: reason in lesser)


def describe_workers(workers: Sequence[WorkerStatus]) -> str:
    """Say which workers do not run; empty while all do, or have just been started."""
    idle = [worker for worker in workers if worker.state is not WorkerState.RUNNING]
    if not idle or all(worker.is_new for worker in workers):
        return ""
    names = ", ".join(_describe_worker(worker) for worker in idle)
    if len(idle) == len(workers):
        return f"No worker runs: {names}."
    return f"{len(idle)} of {len(workers)} workers do not run: {names}."


def describe_troubles(statuses: Iterable[CheckStatus]) -> Iterator[str]:
    """Yield the sentences of what does not pass, each once, the worst first."""
    details = dict.fromkeys(status.detail for status in list_troubled(statuses) if status.detail)
    for detail in list(details)[:MOST_REASONS]:
        yield detail if detail.endswith((".", "'", '"')) else f"{detail}."


def _describe_worker(worker: WorkerStatus) -> str:
    restarts = sum(worker.restarts.values())
    return f"{worker.name} is {worker.state.value} after {restarts} restarts"


def _describe_store(sample: Sample) -> list[str]:
    """Say which projections need a look, the worst first, and whether events may be missed."""
    errors: dict[str, list[str]] = {}
    for failure in sample.failures:
        errors.setdefault(failure.projection, []).append(failure.error_type)
    lost = [f"{describe_loss(loss)}." for loss in sample.losses]
    unsafe = [f"Events may be missed: {sample.unsafe}"] if sample.unsafe else []
    return [
        *lost,
        *_describe_projections(sample, errors),
        *(_describe_published(*each, errors) for each in sample.published.items()),
        *_describe_deleted(sample),
        # Last and without a full stop, for it ends with a statement to copy.
        *unsafe,
    ]


def _describe_projections(sample: Sample, errors: dict[str, list[str]]) -> list[str]:
    worst_first = sorted(sample.projections, key=_rank)
    described = [_describe_projection(one, errors.get(one.name, ())) for one in worst_first]
    sentences = [sentence for sentence in described if sentence]
    more = len(sentences) - MOST_DESCRIBED
    if more <= 0:
        return sentences
    return [*sentences[:MOST_DESCRIBED], f"{more} more projections need a look."]


def _rank(projection: ProjectionStatus) -> tuple[int, bool, float]:
    """Order projections by how much they need a person."""
    place = _ALARMING.index(projection.status) if projection.status in _ALARMING else 99
    return place, not projection.dead_letters, -projection.lag_seconds


def _describe_projection(projection: ProjectionStatus, errors: Sequence[str]) -> str:
    parts = []
    if projection.status in {*_ALARMING, Status.PAUSED}:
        parts.append(f"is {projection.status.value}")
    if rebuild := _describe_rebuild(projection):
        parts.append(rebuild)
    if projection.lag_seconds >= 1:
        parts.append(f"is {projection.lag_seconds:.0f} s behind")
    if projection.parked_streams:
        streams = _count(projection.parked_streams, "stream")
        parts.append(f"has {streams} parked{_describe_cause(projection.oldest_letter_at, errors)}")
    elif projection.dead_letters:
        letters = _count(projection.dead_letters, "dead letter")
        parts.append(f"has {letters}{_describe_cause(projection.oldest_letter_at, errors)}")
    sentences = [f"Projection {projection.name} {' and '.join(parts)}."] if parts else []
    wrongs = (
        describe_passed_over(projection.name, projection.kind, projection.passed_over),
        describe_deleted(projection.name, projection.deleted),
        describe_drift(projection.name, projection.verification),
        describe_changes(projection.name, projection.changes),
    )
    sentences += [f"Of {projection.name} {wrong}." for wrong in wrongs if wrong]
    return " ".join(sentences)


def _describe_rebuild(projection: ProjectionStatus) -> str:
    if projection.approval is not None:
        return "has a rebuild that waits for a decision"
    return _REBUILDS.get(projection.rebuild, "")


def _describe_deleted(sample: Sample) -> Iterator[str]:
    """Yield what was deleted of those that no worker runs."""
    followed = {projection.name for projection in sample.projections}
    for name, deleted in sample.deleted.items():
        if name not in followed:
            yield f"Of {name} {describe_deleted(name, deleted)}."


def _describe_published(name: str, count: DeadLetterCount, errors: dict[str, list[str]]) -> str:
    letters = _count(count.letters, "dead letter")
    cause = _describe_cause(count.oldest_at, errors.get(name, ()))
    return f"Publishing to {name} left {letters}{cause}."


def _describe_cause(oldest_at: datetime | None, errors: Sequence[str]) -> str:
    since = f" since {oldest_at:%H:%M}" if oldest_at else ""
    return since + "".join(f", {error}" for error in dict.fromkeys(errors))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
