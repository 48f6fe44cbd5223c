"""All that the sidecar emits; `otel/contract.yaml` is written from it by `make dashboards`."""

from typing import Final

from sidecar.telemetry.attribute import ATTRIBUTES
from sidecar.telemetry.log_event import LOG_EVENTS
from sidecar.telemetry.metric import INSTRUMENTS
from sidecar.telemetry.span import EXCEPTION_ATTRIBUTES, SPANS

__all__ = [
    "ATTRIBUTES",
    "EXCEPTION_ATTRIBUTES",
    "INSTRUMENTS",
    "LOG_EVENTS",
    "SCHEMA_URL",
    "SCOPE",
    "SPANS",
]

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SCOPE: Final = "sidecar"
