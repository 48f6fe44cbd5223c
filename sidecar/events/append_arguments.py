"""The arguments of an append, checked before anything is sent."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from sidecar.errors import UsageError
from sidecar.events.finite import is_finite

MAX_VERSION: Final = 2**63 - 1

_encode: Final = msgspec.json.Encoder().encode


def require_arguments(
    stream: object, events: object, metadata: object, expected_version: object
) -> None:
    """Check the stream, that there are events, the metadata, and the version.

    Raises:
        UsageError: The metadata is no mapping, or the version no number that one can have.
        ValueError: There are no events, or the stream has no name that can be kept.
    """
    if not stream or (isinstance(events, Sequence) and not events):
        raise ValueError("append needs the name of a stream and at least one event")
    if not isinstance(events, Sequence) or isinstance(events, str | bytes):
        raise ValueError(  # noqa: TRY004 - one kind of error for all that append is given
            f"append takes a list of events, and {type(events).__name__} is none"
        )
    if not isinstance(stream, str) or not is_storable(stream):
        raise ValueError(
            f"the stream {stream!r} has no name that PostgreSQL can keep: it is text without NUL "
            "and without halves of characters"
        )
    if metadata is not None and not isinstance(metadata, Mapping):
        raise UsageError(
            f"metadata is a mapping of names to values, not {type(metadata).__name__}."
        )
    if expected_version is not None and not _is_version(expected_version):
        raise UsageError(
            f"expected_version is {expected_version!r}; it is ANY, NO_STREAM, or the version read."
        )


def write_ids(events: Sequence[object], ids: object) -> list[str] | None:
    """Return ids as hexadecimal digits, None where there are none.

    Raises:
        UsageError: They are no UUIDs, or not one for each event.
    """
    if ids is None:
        return None
    if not isinstance(ids, Sequence) or not all(isinstance(each, uuid.UUID) for each in ids):
        raise UsageError("event_ids takes a list of `uuid.UUID`, one for each event.")
    if len(set(ids)) != len(events) or len(ids) != len(events):
        raise UsageError(f"event_ids has to hold {len(events)} different ids, one for each event.")
    return [each.hex for each in ids]


def require_same(stream: str, ids: Sequence[str], found: Sequence[str]) -> None:
    """Check that ids that are known are those of the same append.

    Args:
        stream: The one that is appended to.
        ids: Of all events.
        found: The streams of those that are known; none is good as well.

    Raises:
        UsageError: Some are those of other events.
    """
    others = [name for name in found if name != stream]
    if others or len(found) not in {0, len(ids)}:
        raise UsageError(
            f"{len(found)} of {len(ids)} event_ids are those of events that were appended before, "
            f"to stream {[*others, stream][0]!r}; a try is repeated with the same events and ids."
        )


def write_metadata(metadata: Mapping[str, object] | None) -> str | None:
    """Return metadata as JSON text, None where there is none.

    Raises:
        UsageError: It has no JSON form.
    """
    if not metadata:
        return None
    plain = dict(metadata)
    try:
        data = _encode(plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"metadata has a value without JSON form: {error}.") from error
    if b"null" in data and not is_finite(msgspec.to_builtins(plain)):
        raise UsageError("metadata has a number without JSON form: it is NaN or infinite.")
    return data.decode()


def _is_version(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_VERSION


def is_storable(text: str) -> bool:
    """Return True for text that PostgreSQL can keep: without NUL and halves of characters."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
