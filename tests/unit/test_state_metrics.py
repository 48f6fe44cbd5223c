from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sidecar.telemetry.setup import Telemetry
from sidecar.wiring.state_metrics import observe_state
from tests.observed import full_state

STATE = full_state()


def test_all_that_is_seen_can_be_sent_by_otlp() -> None:
    reader = InMemoryMetricReader()
    telemetry = Telemetry.start("shop", "probe", version="1", environ={}, metric_readers=[reader])
    observe_state(telemetry, lambda: STATE)
    data = reader.get_metrics_data()
    assert data is not None
    sent = encode_metrics(data).SerializeToString()
    assert b"sidecar.projection.status" in sent
    assert b"sidecar.check.status" in sent
    telemetry.close()
