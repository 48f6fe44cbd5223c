"""What a family of event classes needs: its way to JSON text and back, and its errors in words."""

from typing import NamedTuple, Protocol

from sidecar.events.upcasting import Shape


class DecodeFailure(NamedTuple):
    """Why an object was not made from JSON.

    Attributes:
        reason: In words that hold no value of the event.
        cause: The error to chain; None where its own words may be the value itself.
    """

    reason: str
    cause: Exception | None


class Codec(Protocol):
    """Writes and reads the objects of one class. What it raises is explained by itself."""

    def write(self, event: object) -> bytes:
        """Return an object as JSON; raises where a field has no JSON form."""

    def is_finite(self, event: object) -> bool:
        """Tell whether no number in an object is infinite or none at all."""

    def read(self, data: str) -> object:
        """Make an object from JSON; raises where that does not fit."""

    def convert(self, shape: Shape) -> object:
        """Make an object from decoded JSON, exactly as `read` would from its text."""

    def explain(self, error: Exception) -> DecodeFailure:
        """Say what `read` or `convert` raised."""
