"""Fields that msgspec leaves to hooks: pydantic models, and value objects of a service's own."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sidecar.events.frozen import is_of_pydantic

if TYPE_CHECKING:
    from sidecar.events.pydantic_codec import PydanticCodec


class UnfitError(ValueError):
    """A nested object refused its JSON; the message holds no value."""


class ValueForm(NamedTuple):
    """How the objects of one class stand in JSON."""

    to_json: Callable[[Any], object]
    from_json: Callable[[Any], object]


@cache
def pydantic_codec(cls: type) -> "PydanticCodec":
    """Return the codec of a model, made once.

    Raises:
        Exception: A field has no schema.
    """
    # A service that has models has imported pydantic; other services need not install it.
    from sidecar.events.pydantic_codec import PydanticCodec  # noqa: PLC0415

    return PydanticCodec(cls)


class NestedForms:
    """The hooks, with the value objects that the service has told the form of."""

    def __init__(self) -> None:
        self._forms: Final[dict[type, ValueForm]] = {}

    def add(self, cls: type, form: ValueForm) -> None:
        """Let objects of a class, and of its subclasses, be written and read like this."""
        self._forms[cls] = form

    def has(self, cls: object) -> bool:
        """Return True for a class whose form is known."""
        return cls in self._forms

    def write(self, value: object) -> object:
        """Turn an object into plain data.

        Raises:
            TypeError: Its form is unknown.
        """
        cls: type = type(value)
        for each in cls.__mro__:
            if each in self._forms:
                return self._forms[each].to_json(value)
        if not is_of_pydantic(cls):
            raise TypeError(f"Encoding objects of type {cls.__name__} is unsupported")
        return pydantic_codec(cls).to_plain(value)

    def read(self, cls: type, value: object) -> object:
        """Make an object of plain data; values for any other class are left to msgspec.

        Raises:
            UnfitError: It does not fit.
        """
        if form := self._forms.get(cls):
            return _read_form(cls, form, value)
        if not is_of_pydantic(cls):
            return value
        codec = pydantic_codec(cls)
        try:
            return codec.convert(value)
        # The edge to user code: a validator can raise anything.
        except Exception as error:  # noqa: BLE001 - not chained, its text may hold a value
            raise UnfitError(codec.explain(error).reason) from None


def _read_form(cls: type, form: ValueForm, value: object) -> object:
    try:
        return form.from_json(value)
    # The edge to user code; not chained, its text may hold the value.
    except Exception as error:  # noqa: BLE001
        reason = f"`from_json` of {cls.__name__} failed with {type(error).__name__}"
    raise UnfitError(reason)
