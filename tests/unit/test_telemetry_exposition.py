"""The exposition holds what the contract promises, and promtool finds nothing to mend."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from sidecar.events.publisher import EventPublisher
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.projections.observer import Action, RunnerTally, add_up
from sidecar.telemetry import metric
from sidecar.telemetry.emitter import Kind
from sidecar.telemetry.exposition import render_registry
from sidecar.telemetry.merge import Exposition
from sidecar.telemetry.metric import INSTRUMENTS
from sidecar.telemetry.pool_metrics import PoolTelemetry, observe_pool
from sidecar.telemetry.process_metrics import observe_agent_failures, observe_loop_lag
from sidecar.telemetry.projection_metrics import RunnerTelemetry, observe_projections
from sidecar.telemetry.publisher_metrics import observe_publisher
from sidecar.telemetry.setup import Telemetry
from sidecar.wiring.observed import ObservedState
from sidecar.wiring.state_metrics import observe_state
from tests.observed import full_state
from tests.unit.records import RECORD

STATE = full_state()


@dataclass(frozen=True)
class Pool:
    name: str
    used: int = 1
    idle: int = 2
    max: int = 20
    pending: int = 0
    timeouts: int = 0
    closed: int = 0
    oldest_wait_seconds: float = 0.0
    leaks: int = 0


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry.start("shop", "probe", version="1.2.3", environ={})
    yield telemetry
    assert telemetry.close()


async def publish_once(publisher: EventPublisher) -> None:
    async def handle(_event: object) -> None: ...

    publisher.add_handler(handle)
    publisher.add_projection(
        type("Totals", (), {"name": "totals", "handle": staticmethod(handle)})()
    )
    await publisher.publish(object())


@pytest.fixture
def full(telemetry: Telemetry) -> Telemetry:
    publisher = EventPublisher()
    observe_publisher(telemetry, publisher)
    asyncio.run(publish_once(publisher))
    tally = RunnerTally()
    tally.heartbeat_at = tally.progress_at = 1.5
    observe_projections(telemetry, lambda: {"totals": add_up([tally])})
    runner = RunnerTelemetry(telemetry)
    with runner.batch("totals", []):
        runner.event_failed(RECORD, ValueError(), Action.PARK, 1)
    observe_pool(telemetry, Pool("shop"))
    pool = PoolTelemetry(telemetry, "shop")
    pool.waited(0.1, "ok")
    pool.used(0.1)
    pool.created(0.1)
    observe_state(telemetry, lambda: STATE)
    observe_loop_lag(telemetry, lambda: 0.001)
    observe_agent_failures(telemetry, lambda: [("pool", 1)])
    return telemetry


def render(telemetry: Telemetry) -> str:
    return Exposition("probe", telemetry.registry).render()[0].decode()


def test_every_metric_has_the_name_type_and_labels_of_the_contract(full: Telemetry) -> None:
    families = {family.name: family for family in parse(render(full))}
    assert set(families) == {i.prometheus_name.removesuffix("_total") for i in INSTRUMENTS}
    types = {Kind.UP_DOWN_COUNTER: "gauge"}
    for instrument in INSTRUMENTS:
        family = families[instrument.prometheus_name.removesuffix("_total")]
        assert family.type == types.get(instrument.kind, instrument.kind.value)
        assert family.documentation == instrument.description
        labels = {name.replace(".", "_") for name in instrument.attributes}
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == labels | {"process"}


def test_promtool_complains_of_one_suffix_only(full: Telemetry) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        assert not os.environ.get("CI"), "promtool is missing"
        pytest.skip("promtool is missing")
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=render(full),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    complaints = (checked.stdout + checked.stderr).strip().splitlines()
    assert [line for line in complaints if "db_client_connection_count" not in line] == []


def test_exactly_one_word_is_on_for_how_a_rebuild_goes(telemetry: Telemetry) -> None:
    observe_state(telemetry, lambda: STATE)
    families = {family.name: family for family in parse(render(telemetry))}
    shown = families["sidecar_projection_rebuild"].samples
    words = {sample.labels["status"]: sample.value for sample in shown}
    assert words == {"none": 0, "running": 1, "halted": 0, "in_place": 0}


def test_what_is_not_known_has_no_series(telemetry: Telemetry) -> None:
    state = STATE

    def look() -> ObservedState:
        return state

    observe_state(telemetry, look)
    assert 'sidecar_projection_lag_events{projection="totals",process="probe"} 3' in render(
        telemetry
    )
    state = ObservedState()
    text = render(telemetry)
    assert "sidecar_projection_lag" not in text
    assert "sidecar_store_head_position" not in text
    assert "sidecar_ready" not in text
    assert 'sidecar_draining{process="probe"} 0.0' in text


def test_exactly_one_status_of_a_projection_and_a_check_is_one(telemetry: Telemetry) -> None:
    observe_state(telemetry, lambda: STATE)
    families = {family.name: family for family in parse(render(telemetry))}
    for name, expected in (
        (metric.PROJECTION_STATUS.prometheus_name, "running"),
        (metric.CHECK_STATUS.prometheus_name, "pass"),
    ):
        ones = [s.labels["status"] for s in families[name].samples if s.value == 1]
        assert ones == [expected]


def test_a_reader_that_fails_costs_its_own_series_only(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> float:
        raise OSError

    observe_loop_lag(telemetry, fail)
    observe_state(telemetry, lambda: STATE)
    text = render(telemetry)
    assert "sidecar_loop_lag" not in text
    assert "sidecar_ready" in text
    assert "Callback failed" in caplog.text


async def test_the_sidecar_s_own_pool_can_be_observed(telemetry: Telemetry) -> None:
    pool = MeteredPool("postgresql://localhost/shop", name="shop", max_size=7)
    pool.observer = PoolTelemetry(telemetry, pool.name)
    observe_pool(telemetry, pool)
    assert 'db_client_connection_max{db_client_connection_pool_name="shop"} 7' in render_registry(
        telemetry.registry
    )


def test_a_closed_pool_ends_its_series(telemetry: Telemetry) -> None:
    observe_pool(telemetry, Pool("kept"))
    observe_pool(telemetry, Pool("gone"))()
    text = render(telemetry)
    assert 'pool_name="kept",db_client_connection_state="used",process="probe"} 1.0' in text
    assert "gone" not in text
