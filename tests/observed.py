"""States of a probe process that is ready, as far as a test is about them."""

from typing import Any

from sidecar.health.outcome import Outcome
from sidecar.health.verdict import ProbeVerdict
from sidecar.postgres.sample import Sample
from sidecar.wiring.observed import ObservedState

READY = ProbeVerdict(ok=True, outcome=Outcome.PASS)


def ready_state(sample: Sample | None = None, **fields: Any) -> ObservedState:
    """Return one of which everything else is as it is before anything was seen."""
    return ObservedState(readiness=READY, sample=sample, **fields)
