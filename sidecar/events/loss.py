"""What an event would lose on its way through JSON: found by comparing it with what is read."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import NoneType
from typing import Any, Final, NamedTuple

# What JSON itself has, and so what is read where a class declares nothing.
_PLAIN: Final = (str, int, float, bool, NoneType, list, dict)


class Loss(NamedTuple):
    """A part of an event that would be read as something else; holds no value of it."""

    place: str
    written: str
    read: str

    def __str__(self) -> str:
        return f"{self.place} is of type {self.written}, and would be read as {self.read}"


def find_loss(event: object, read: object) -> Loss | None:
    """Return a part of an event that what is read of it lacks; None where nothing is lost.

    What is read as the same type is not compared, for a class may be equal to nothing.
    """
    return next(_find(event, read, type(event).__name__), None)


def _find(given: Any, read: Any, place: str) -> Iterator[Loss]:  # noqa: ANN401 - values of any kind
    fields, read_fields = _fields(given), _fields(read)
    if fields is not None and read_fields is not None:
        yield from _find_in_fields(given, read, place)
    elif isinstance(given, Mapping) and isinstance(read, Mapping):
        yield from _find_in_mapping(given, read, place)
    elif isinstance(given, list | tuple) and isinstance(read, list | tuple):
        for index, pair in enumerate(zip(given, read, strict=False)):
            yield from _find(*pair, f"{place}[{index}]")
    elif isinstance(given, AbstractSet) and isinstance(read, AbstractSet):
        odd = next((each for each in given if each not in read), None)
        plain = next((each for each in read if isinstance(each, _PLAIN)), None)
        if odd is not None and plain is not None and type(odd) is not type(plain):
            yield _loss(odd, plain, f"{place}[...]")
    elif isinstance(read, _PLAIN) and not _is_equal(given, read):
        yield _loss(given, read, place)


def _find_in_fields(given: object, read: object, place: str) -> Iterator[Loss]:
    fields, read_fields = _fields(given) or {}, _fields(read) or {}
    if fields.keys() - read_fields.keys():
        yield _loss(given, read, place)
    for name in fields.keys() & read_fields.keys():
        yield from _find(fields[name], read_fields[name], f"{place}.{name}")


def _find_in_mapping(
    given: Mapping[object, object], read: Mapping[object, object], place: str
) -> Iterator[Loss]:
    for key, value in given.items():
        if key in read:
            yield from _find(value, read[key], f"{place}[{_name_key(key)}]")
        elif isinstance(key, str):
            yield Loss(f"{place}[{_name_key(key)}]", type(value).__name__, "nothing")
        else:
            yield _loss(key, next(iter(read), None), f"a key of {place}")


def _fields(value: object) -> dict[str, object] | None:
    """Return the fields of an object of a class that has any, and what is beside them."""
    cls = type(value)
    names = (
        getattr(cls, "__struct_fields__", None)
        or getattr(cls, "__dataclass_fields__", None)
        or [attribute.name for attribute in getattr(cls, "__attrs_attrs__", ())]
    )
    if hasattr(cls, "__pydantic_fields__") and not hasattr(cls, "__dataclass_fields__"):
        return {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}
    return {name: getattr(value, name, None) for name in names} if names else None


def _loss(given: object, read: object, place: str) -> Loss:
    return Loss(place, type(given).__name__, type(read).__name__)


def _name_key(key: object) -> str:
    # The names of documents' parts are no values, but long ones might be.
    return repr(key) if isinstance(key, str) and key.isidentifier() else "..."


def _is_equal(given: object, read: object) -> bool:
    try:
        return bool(given == read)
    # The edge to user code: an `__eq__` can raise anything, and so does that of Decimal("sNaN").
    except Exception:  # noqa: BLE001 - then they are compared part by part
        return False
