"""The envelope: one event as it stands in the log."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Final

import msgspec

ANY: Final = None
"""Expected version of a writer that appends at any version."""

NO_STREAM: Final = 0
"""Expected version of a stream that has no events yet."""

_decode_object = msgspec.json.Decoder(dict[str, object]).decode


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event with its place in the log.

    Attributes:
        position: Global order number; grows, with gaps.
        stream: Name of the stream, such as `order-4711`.
        version: Number within the stream, from 1, without gaps.
        raw_id: The 16 bytes of `id`.
        type: Registered name of the event type.
        schema_version: Shape that `data` was written in, from 1.
        data: JSON text exactly as stored, unknown fields included.
        metadata: JSON text of what the writer added, such as `traceparent`; may be absent.
        recorded_unix: Unix time, seconds, at which PostgreSQL inserted the row.
    """

    position: int
    stream: str
    version: int
    raw_id: bytes
    type: str
    schema_version: int
    data: str
    metadata: str | None
    recorded_unix: float

    # Few handlers read these two: made on demand, they save a sixth of the time of catching up.

    @property
    def id(self) -> uuid.UUID:
        """Unique over all streams."""
        return uuid.UUID(bytes=self.raw_id)

    @property
    def recorded_at(self) -> dt.datetime:
        """Aware UTC time at which PostgreSQL inserted the row."""
        return dt.datetime.fromtimestamp(self.recorded_unix, dt.UTC)

    @property
    def event_type(self) -> str:
        """The type's name, where handlers of plain objects look for it."""
        return self.type

    def fields(self) -> dict[str, object]:
        """Decode `data` as a plain object.

        Raises:
            msgspec.DecodeError: `data` is no JSON object.
        """
        return _decode_object(self.data)

    def headers(self) -> Mapping[str, object]:
        """Decode `metadata`; unreadable metadata counts as absent, since nothing depends on it."""
        if self.metadata is None:
            return {}
        try:
            return _decode_object(self.metadata)
        except msgspec.DecodeError:
            return {}
