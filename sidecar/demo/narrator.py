"""Sentences on what just happened, from the snapshot that the status page shows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Snapshot = Mapping[str, Any]

QUEUED: Final = "Queued"
"""Stands for an event that waited behind a discarded one; nothing failed."""


class Narrator:
    """Compares each snapshot with the one before. Pure but for what it remembers."""

    def __init__(self) -> None:
        self._ready: bool | None = None
        self._parked: dict[int, Mapping[str, Any]] = {}
        self._restarts = 0

    def describe(self, snapshot: Snapshot) -> Iterator[str]:
        """Yield a sentence for everything that is new."""
        yield from self._describe_ready(snapshot)
        yield from self._describe_letters(snapshot["failures"])
        yield from self._describe_workers(snapshot["workers"])

    def _describe_ready(self, snapshot: Snapshot) -> Iterator[str]:
        if snapshot["ready"] == self._ready:
            return
        self._ready = bool(snapshot["ready"])
        if self._ready:
            yield "/ready answers 200: PostgreSQL, migrations and configuration are fine."
        else:
            yield f"/ready answers 503. {snapshot['verdict']} /health stays 200."

    def _describe_letters(self, failures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        now = {failure["id"]: failure for failure in failures}
        for number, failure in now.items():
            if number not in self._parked and failure["error_type"] != QUEUED:
                yield (
                    f"Projection {failure['projection']} could not apply {failure['event_type']} "
                    f"of stream {failure['stream']}: {failure['error_type']}. The event is dead "
                    f"letter {number}, its stream is parked, everything else goes on."
                )
        for number, failure in self._parked.items():
            if number not in now:
                yield (
                    f"Dead letter {number} is resolved: {failure['projection']} took stream "
                    f"{failure['stream']} up again, in order."
                )
        self._parked = now

    def _describe_workers(self, workers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        restarts = sum(worker["restarts"] for worker in workers)
        if restarts > self._restarts:
            yield "A worker ended and was started again; it goes on from its checkpoints."
        self._restarts = restarts


def summarize(snapshot: Snapshot, orders: int) -> str:
    """Return one line on the whole shop."""
    lag = max((p["lag_seconds"] or 0.0 for p in snapshot["projections"]), default=0.0)
    letters = sum(p["dead_letters"] for p in snapshot["projections"])
    word = "ready" if snapshot["ready"] else "not ready"
    return (
        f"{word} · {orders} orders in the read model · slowest projection {lag:.1f} s behind · "
        f"{letters} dead letter{'' if letters == 1 else 's'}"
    )
