"""What a look at the database says of projections and event store, in sentences. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sidecar.postgres.sample import Sample
from sidecar.projections.passed_over import describe_passed_over
from sidecar.projections.projection_status import DeadLetterCount, ProjectionStatus, Rebuild, Status

MOST_DESCRIBED: Final = 5
"""Projections in the headline; the page has a row for each."""

_WORST_FIRST: Final = (Status.FAILED, Status.STALLED, Status.UNOWNED)


def describe_store(sample: Sample) -> list[str]:
    """Say which projections need a look, the worst first, and whether events may be missed."""
    errors = _errors_of(sample)
    unsafe = [f"Events may be missed: {sample.unsafe}"] if sample.unsafe else []
    return [
        *_describe_projections(sample, errors),
        *(_describe_published(*each, errors) for each in sample.published.items()),
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


def _errors_of(sample: Sample) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    for failure in sample.failures:
        errors.setdefault(failure.projection, []).append(failure.error_type)
    return errors


def _rank(projection: ProjectionStatus) -> tuple[int, bool, float]:
    """Order projections by how much they need a person."""
    place = _WORST_FIRST.index(projection.status) if projection.status in _WORST_FIRST else 99
    return place, not projection.dead_letters, -projection.lag_seconds


def _describe_projection(projection: ProjectionStatus, errors: Sequence[str]) -> str:
    parts = []
    if projection.status in {Status.FAILED, Status.STALLED, Status.UNOWNED, Status.PAUSED}:
        parts.append(f"is {projection.status.value}")
    if projection.rebuild is Rebuild.RUNNING:
        parts.append("is being rebuilt")
    if projection.rebuild is Rebuild.HALTED:
        parts.append("has a rebuild that failed")
    if projection.lag_seconds >= 1:
        parts.append(f"is {projection.lag_seconds:.0f} s behind")
    if projection.parked_streams:
        streams = _count(projection.parked_streams, "stream")
        parts.append(f"has {streams} parked{_describe_cause(projection.oldest_letter_at, errors)}")
    elif projection.dead_letters:
        letters = _count(projection.dead_letters, "dead letter")
        parts.append(f"has {letters}{_describe_cause(projection.oldest_letter_at, errors)}")
    sentences = [f"Projection {projection.name} {' and '.join(parts)}."] if parts else []
    if lacks := describe_passed_over(projection.name, projection.kind, projection.passed_over):
        sentences.append(f"Of {projection.name} {lacks}.")
    return " ".join(sentences)


def _describe_published(name: str, count: DeadLetterCount, errors: dict[str, list[str]]) -> str:
    letters = _count(count.letters, "dead letter")
    cause = _describe_cause(count.oldest_at, errors.get(name, ()))
    return f"Publishing to {name} left {letters}{cause}."


def _describe_cause(oldest_at: datetime | None, errors: Sequence[str]) -> str:
    since = f" since {oldest_at:%H:%M}" if oldest_at else ""
    return since + "".join(f", {error}" for error in dict.fromkeys(errors))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
