"""Pydantic models as fields of other classes, which msgspec leaves to hooks."""

from functools import cache
from typing import TYPE_CHECKING

from sidecar.events.frozen import is_of_pydantic

if TYPE_CHECKING:
    from sidecar.events.pydantic_codec import PydanticCodec


class UnfitError(ValueError):
    """A nested model refused its JSON; the message holds no value."""


@cache
def pydantic_codec(cls: type) -> "PydanticCodec":
    """Return the codec of a model, made once.

    Raises:
        Exception: A field has no schema.
    """
    # A service that has models has imported pydantic; other services need not install it.
    from sidecar.events.pydantic_codec import PydanticCodec  # noqa: PLC0415

    return PydanticCodec(cls)


def write_nested(value: object) -> object:
    """Turn a model into plain data.

    Raises:
        TypeError: It is none.
    """
    cls: type = type(value)
    if not is_of_pydantic(cls):
        raise TypeError(f"Encoding objects of type {cls.__name__} is unsupported")
    return pydantic_codec(cls).to_plain(value)


def read_nested(cls: type, value: object) -> object:
    """Make a model of plain data; values for any other class are left to msgspec.

    Raises:
        UnfitError: It does not fit.
    """
    if not is_of_pydantic(cls):
        return value
    codec = pydantic_codec(cls)
    try:
        return codec.convert(value)
    # The edge to user code: a validator can raise anything.
    except Exception as error:  # noqa: BLE001 - not chained, its text may hold a value
        raise UnfitError(codec.explain(error).reason) from None
