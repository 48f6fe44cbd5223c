"""What the page says first: how bad it is, who does not work, and why. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sidecar.health.check_status import CheckStatus
from sidecar.health.outcome import Outcome
from sidecar.health.verdict import fold
from sidecar.process.worker_place import WorkerState, WorkerStatus
from sidecar.wiring.describe_projection import describe_store
from sidecar.wiring.in_process import describe_failures
from sidecar.wiring.observed import ObservedState

MOST_REASONS: Final = 2
"""Sentences of checks in the headline; all of them stand below it."""

_WORST_FIRST: Final = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.WARN, Outcome.PASS)


def describe(state: ObservedState) -> str:
    """Return a few sentences: who does not work first, then why."""
    reasons = state.readiness.reasons if state.readiness else ()
    codes = ", ".join(order_reasons(reasons, state.checks)) or "starting"
    sentences = [
        describe_workers(state.workers),
        "Ready." if state.is_ready else f"Not ready: {codes}.",
        *describe_troubles(state.checks),
        *describe_failures(state.subscribers.values(), state.now_mono),
        *(describe_store(state.sample) if state.sample else ()),
    ]
    return " ".join(filter(None, sentences))


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
