from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sidecar.projections.projection_status import ProjectionStatus, Status
from sidecar.telemetry import metric
from sidecar.telemetry.probe_metrics import Sight, observe_sight
from sidecar.telemetry.setup import Telemetry

SIGHT = Sight(
    projections=(ProjectionStatus("totals", "table", Status.RUNNING, 7, 3, 1.5, 0, 0, (), None),),
    numbers={metric.HEAD: 10, metric.SAFE_HEAD: 9, metric.READY: True},
    checks={"postgres": "pass"},
    transitions={("postgres", "pass"): 1},
    findings={("SEC01", "warning"): 1},
    restarts={("worker-1", "hung"): 0},
    scrape_failures={"worker-1": 0},
)


def test_all_that_is_seen_can_be_sent_by_otlp() -> None:
    reader = InMemoryMetricReader()
    telemetry = Telemetry.start("shop", "probe", version="1", environ={}, metric_readers=[reader])
    observe_sight(telemetry, lambda: SIGHT)
    data = reader.get_metrics_data()
    assert data is not None
    sent = encode_metrics(data).SerializeToString()
    assert b"sidecar.projection.status" in sent
    assert b"sidecar.check.status" in sent
    telemetry.close()
