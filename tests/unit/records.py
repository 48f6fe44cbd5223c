"""An event as it was recorded, and others like it."""

import datetime as dt
import uuid
from typing import Any

import msgspec

from sidecar.events.record import RecordedEvent

RECORD = RecordedEvent(
    position=7,
    stream="order-1",
    version=2,
    raw_id=uuid.UUID(int=1).bytes,
    type="Placed",
    schema_version=1,
    data='{"order": "1"}',
    metadata=None,
    recorded_unix=dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp(),
)


def replace(**changes: Any) -> RecordedEvent:
    return msgspec.structs.replace(RECORD, **changes)
