"""What is declared of metrics, spans and attributes is complete and agrees with the code."""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum

import pytest

from sidecar.config.severity import Severity
from sidecar.diagnosis.cause import Cause
from sidecar.health.outcome import Outcome
from sidecar.postgres.pools.activity import SessionState
from sidecar.postgres.pools.pool_usage import AcquireOutcome
from sidecar.process.worker_place import RestartReason
from sidecar.projections.observer import Action
from sidecar.projections.projection_status import Rebuild, Status
from sidecar.telemetry import attribute
from sidecar.telemetry.attribute import ATTRIBUTES, Attribute
from sidecar.telemetry.emitter import Instrument
from sidecar.telemetry.metric import INSTRUMENTS
from sidecar.telemetry.otlp_route import Signal
from sidecar.telemetry.span import EXCEPTION_ATTRIBUTES, SPANS, SpanShape
from sidecar.wiring.harmless import Part


def signals() -> Iterator[Instrument | SpanShape]:
    yield from INSTRUMENTS
    yield from SPANS


def test_a_name_is_declared_once() -> None:
    names = [each.name for each in INSTRUMENTS] + [each.operation for each in SPANS]
    assert not [name for name, count in Counter(names).items() if count > 1]


def test_every_declared_attribute_is_one_of_a_signal_or_of_the_exposition() -> None:
    used = [each for signal in signals() for each in signal.attributes]
    used += [*EXCEPTION_ATTRIBUTES, attribute.SERVICE, attribute.PROCESS]
    assert {id(each) for each in ATTRIBUTES} == {id(each) for each in used}


def test_a_condition_is_about_an_attribute_of_its_signal() -> None:
    for signal in signals():
        assert signal.conditions.keys() <= set(signal.attributes)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (attribute.CAUSE, Cause),
        (attribute.CHECK_OUTCOME, Outcome),
        (attribute.OUTCOME, AcquireOutcome),
        (attribute.PART, Part),
        (attribute.PROJECTION_STATE, Status),
        (attribute.REASON, RestartReason),
        (attribute.REBUILD_STATE, Rebuild),
        (attribute.SEVERITY, Severity),
        (attribute.SIGNAL, Signal),
        (attribute.STATE, SessionState),
    ],
)
def test_a_closed_set_has_the_words_of_the_code(declared: Attribute, words: type[StrEnum]) -> None:
    assert list(declared.members) == [word.value for word in words]


def test_a_failure_is_acted_on_as_a_loop_does_or_left_to_the_publishers_caller() -> None:
    assert list(attribute.ACTION.members) == [*Action, attribute.COLLECT]


def test_the_bound_of_a_metric_is_the_product_over_its_attributes() -> None:
    bounds = {each.name: each.bound for each in INSTRUMENTS}
    assert bounds["sidecar.ready"] == "1"
    assert bounds["sidecar.projection.failures"] == "projections x 21 error types x 4"
    assert (
        bounds["messaging.process.duration"] == "projections x 3 x (21 error types + 1) x buckets"
    )
