"""The interface to a family of event classes: write JSON, read it, explain errors."""

from typing import NamedTuple, Protocol

from sidecar.events.upcasting import Shape


class DecodeFailure(NamedTuple):
    """Why an object was not made from JSON.

    Attributes:
        reason: Text without any value of the event.
        cause: The error to chain; None where its text may contain a value.
    """

    reason: str
    cause: Exception | None


class Codec(Protocol):
    """Writes and reads the objects of one class, and explains its own errors."""

    def write(self, event: object) -> bytes:
        """Return an object as JSON; raises where a field has no JSON form."""

    def to_plain(self, event: object) -> object:
        """Return an object as plain data, with NaN and infinity where it has them."""

    def read(self, data: str) -> object:
        """Make an object from JSON; raises where that does not fit."""

    def convert(self, shape: Shape) -> object:
        """Make an object from decoded JSON, exactly as `read` would from its text."""

    def explain(self, error: Exception) -> DecodeFailure:
        """Describe what `read` or `convert` raised."""
