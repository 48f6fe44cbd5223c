"""Pydantic models and dataclasses, written and read by pydantic; imported only for them."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
import pydantic

from sidecar.events.codec import DecodeFailure

# From here on a field can be read by its name though it has an alias.
_READS_BY_NAME: Final = tuple(map(int, pydantic.VERSION.split(".")[:2])) >= (2, 11)
# Fields are stored under their own names, computed ones not at all: so they are read again,
# whatever their aliases. Warnings would print values.
_WRITE: Final[dict[str, Any]] = {"by_alias": False, "round_trip": True, "warnings": False}
_READ: Final[dict[str, Any]] = {"by_alias": True, "by_name": True} if _READS_BY_NAME else {}


class PydanticCodec:
    """Knows a class by its schema, which may still wait for a class that is declared later.

    Raises:
        Exception: A field has no schema.
    """

    def __init__(self, cls: type) -> None:
        adapter: pydantic.TypeAdapter[object] = pydantic.TypeAdapter(cls)
        self.to_plain: Final[Callable[[object], object]] = partial(
            adapter.dump_python, mode="json", **_WRITE
        )
        self.write: Final[Callable[[object], bytes]] = partial(adapter.dump_json, **_WRITE)
        self.read: Final[Callable[[str], object]] = partial(adapter.validate_json, **_READ)

    def convert(self, shape: object) -> object:
        """Make an object from decoded JSON, by the rules for JSON and not those for Python."""
        return self.read(msgspec.json.encode(shape).decode())

    def explain(self, error: Exception) -> DecodeFailure:
        """Describe what `read` or `convert` raised."""
        if not isinstance(error, pydantic.ValidationError):
            return DecodeFailure(f"its class refused it with {type(error).__name__}", error)
        # The text of the error shows the input.
        return DecodeFailure(_describe(error), None)


def _describe(error: pydantic.ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in first["loc"])
    more = f", and {error.error_count() - 1} more" if error.error_count() > 1 else ""
    return f"{first['type']} - at `${place}`{more}"
