"""Dataclasses, attrs classes and msgspec structs, written and read by msgspec."""

from collections.abc import Callable
from typing import Final

import msgspec

from sidecar.events.codec import DecodeFailure
from sidecar.events.nested import NestedForms, UnfitError
from sidecar.events.upcasting import Shape


class MsgspecCodec:
    """Knows a class by its annotations.

    Args:
        cls: The class.
        nested: Hooks for fields that msgspec does not know.

    Raises:
        Exception: An annotation cannot be read, or names what msgspec does not take.
    """

    def __init__(self, cls: type, nested: NestedForms) -> None:
        self._cls: Final = cls
        self._nested: Final = nested
        self.read: Final[Callable[[str], object]] = msgspec.json.Decoder(
            cls, dec_hook=nested.read
        ).decode
        self.write: Final = msgspec.json.Encoder(enc_hook=nested.write).encode

    def to_plain(self, event: object) -> object:
        """Return an object as plain data."""
        return msgspec.to_builtins(event, enc_hook=self._nested.write)

    def convert(self, shape: Shape) -> object:
        """Make an object from decoded JSON."""
        # As `read` does: the keys of JSON are text, whatever the class makes of them.
        return msgspec.convert(shape, self._cls, str_keys=True, dec_hook=self._nested.read)

    def explain(self, error: Exception) -> DecodeFailure:
        """Describe what `read` or `convert` raised."""
        if not isinstance(error, msgspec.DecodeError | UnicodeError):
            return DecodeFailure(f"its class refused it with {type(error).__name__}", error)
        # A traceback shows the cause as well, whose text may contain the value.
        return DecodeFailure(_withhold_value(error), None if _shows_value(error) else error)


def _withhold_value(error: Exception) -> str:
    """Keep the path and types that msgspec names, and drop the values that it prints."""
    if isinstance(error.__cause__, UnfitError):
        return str(error)
    if error.__cause__ is not None:
        # A `__post_init__` raised; its text comes from the service and may contain anything.
        return f"its class refused it with {type(error.__cause__).__name__}"
    return "an unexpected value" if _shows_value(error) else str(error).rstrip(".")


def _shows_value(error: Exception) -> bool:
    is_of_msgspec = error.__cause__ is None
    return is_of_msgspec and str(error).startswith(("Invalid enum value", "Invalid value"))
