"""One registered type: its class, its schema version, and the way to JSON and back."""

from collections.abc import Callable
from typing import Final

from sidecar.errors import EventDecodingError, EventTypeError
from sidecar.events.codec import Codec
from sidecar.events.fields import describe_misfit, find_misfit, may_lose
from sidecar.events.finite import is_finite
from sidecar.events.frozen import is_of_pydantic, require_frozen
from sidecar.events.loss import find_loss
from sidecar.events.msgspec_codec import MsgspecCodec
from sidecar.events.nested import NestedForms, pydantic_codec
from sidecar.events.record import RecordedEvent
from sidecar.events.upcasting import Upcaster, upcast


class EventType:
    """One registered type: its current schema version and the upcasters from older ones.

    Raises:
        EventTypeError: The class can be mutated, or has a field without JSON form.
    """

    __slots__ = ("_codec", "_may_lose", "_read", "cls", "name", "upcasters", "version")

    def __init__(self, cls: type, name: str | None, version: int, nested: NestedForms) -> None:
        self.cls: Final[type] = require_frozen(cls)
        self.name: Final = name or cls.__name__
        self.version: Final = version
        self.upcasters: Final[dict[int, Upcaster]] = {}
        self._codec: Final = _choose_codec(cls, nested)
        self._may_lose: Final = may_lose(cls)
        self._read: Final[Callable[[str], object]] = self._codec.read

    def write(self, event: object) -> str:
        """Return an event object of this type as JSON text.

        Raises:
            EventTypeError: A field has no JSON form.
        """
        try:
            data = self._codec.write(event)
        # The edge to user code: a serializer can raise anything.
        except Exception as error:
            raise EventTypeError(
                f"{self.name} has a field without JSON form: {_first_line(error)}."
            ) from error
        if b"null" in data and not is_finite(self._codec.to_plain(event)):
            raise EventTypeError(
                f"{self.name} has a number without JSON form: it is NaN or infinite, and "
                "would be kept as null."
            )
        return data.decode()

    def require_readable(self, event: object, data: str) -> None:
        """Make sure that the JSON text of an event becomes that event again.

        Raises:
            EventTypeError: It does not; the message holds no value.
        """
        try:
            read = self._read(data)
        # The edge to user code, as in `decode`.
        except Exception as error:  # noqa: BLE001 - chained where its text holds no value
            refusal = self._codec.explain(error)
            raise EventTypeError(
                f"{self.cls.__name__} could be stored, but never be read again: {refusal.reason}. "
                "Give each field what its class declares."
            ) from refusal.cause
        if not self._may_lose:
            return
        try:
            is_same = True if read == event else False  # noqa: SIM210 - faster than a call
        # The edge to user code: an `__eq__` can raise anything.
        except Exception:  # noqa: BLE001 - then they are compared part by part
            is_same = False
        if not is_same and (loss := find_loss(event, read)):
            raise EventTypeError(f"{loss}: declare what it is, or give it plain values.")

    def decode(self, record: RecordedEvent) -> object:
        """Make the event object, through the upcasters where the record is older.

        Raises:
            EventDecodingError: The record is from the future, malformed, or an upcaster is missing.
        """
        try:
            if record.schema_version == self.version:
                return self._read(record.data)
            return self._decode_older(record)
        except EventDecodingError:
            raise
        # The edge to user code: a `__post_init__` can raise anything.
        except Exception as error:  # noqa: BLE001 - chained where its text holds no value
            refusal = self._codec.explain(error)
            raise EventDecodingError(_describe(record, refusal.reason)) from refusal.cause

    def _decode_older(self, record: RecordedEvent) -> object:
        if record.schema_version > self.version:
            reason = f"this service knows schema versions up to {self.version}; deploy a newer one"
            raise EventDecodingError(_describe(record, reason))
        fields = record.fields()
        try:
            shape = upcast(fields, record.schema_version, self.version, self.upcasters)
        # The edge to user code: an upcaster can raise anything.
        except Exception as error:
            reason = f"its upcaster failed with {type(error).__name__}"
            raise EventDecodingError(_describe(record, reason)) from error
        return self._codec.convert(shape)


def _choose_codec(cls: type, nested: NestedForms) -> Codec:
    if is_of_pydantic(cls):
        return pydantic_codec(cls)
    try:
        codec = MsgspecCodec(cls, nested)
    except Exception as error:
        raise EventTypeError(describe_misfit(cls, error)) from error
    misfit = find_misfit(cls, nested)
    if misfit is not None:
        raise EventTypeError(f"{misfit}.")
    return codec


def _first_line(error: Exception) -> str:
    first, *_ = str(error).splitlines() or [type(error).__name__]
    return first.rstrip(".")


def _describe(record: RecordedEvent, reason: str) -> str:
    return (
        f"Event {record.type!r} version {record.schema_version} at position {record.position} "
        f"cannot be read: {reason}."
    )
