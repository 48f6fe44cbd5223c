"""Fields without JSON form, found when a class is registered and not at the first append."""

from collections.abc import Iterator
from types import NoneType
from typing import Any, Final, get_type_hints

import msgspec
from msgspec.inspect import CustomType, DataclassType, Field, Type, type_info

from sidecar.events.frozen import is_of_pydantic

_PLAIN: Final = (str, int, float, bool, NoneType, list, dict)


def describe_misfit(cls: type, error: Exception) -> str:
    """Name the field of a class that msgspec refused, and the reason."""
    for name, annotation in _annotations(cls):
        try:
            msgspec.json.Decoder(annotation)
        except Exception as reason:  # noqa: BLE001 - an annotation is user code
            return f"Field `{name}` of {cls.__name__} has no JSON form: {_shorten(reason)}."
    return f"{cls.__name__} has no JSON form: {_shorten(error)}."


def find_misfit(cls: type) -> str | None:
    """Describe a field that msgspec accepts but could not write or read; None without one.

    msgspec leaves unknown classes to hooks, and leaves private attributes out.
    """
    return next(_find_misfits(type_info(cls), cls.__name__, set()), None)


def _annotations(cls: type) -> list[tuple[str, Any]]:
    try:
        return list(get_type_hints(cls, include_extras=True).items())
    except (NameError, TypeError, AttributeError):
        return []


def _shorten(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removeprefix("TypeError: ").rstrip(".")


def _find_misfits(node: Type | Field, place: str, seen: set[int]) -> Iterator[str]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, CustomType) and not _is_known(node.cls):
        name = getattr(node.cls, "__name__", node.cls)
        yield (
            f"{place} is a {name}, which has no JSON form; make that a dataclass, a "
            "msgspec.Struct, an attrs class or a pydantic model, or keep a plain value"
        )
    if isinstance(node, DataclassType):
        yield from _find_private(node.cls)
    for inner, name in _parts(node):
        yield from _find_misfits(inner, f"{place}.{name}" if name else place, seen)


def _is_known(cls: type) -> bool:
    """Return True when a JSON value is one already, or pydantic makes one of it."""
    try:
        return is_of_pydantic(cls) or any(issubclass(plain, cls) for plain in _PLAIN)
    except TypeError:  # a protocol or an alias, which has no instances
        return False


def _find_private(cls: type) -> Iterator[str]:
    for attribute in getattr(cls, "__attrs_attrs__", ()):
        if attribute.init and attribute.name.startswith("_"):
            yield (
                f"{cls.__name__}.{attribute.name} is private and would not be kept; call it "
                f"`{attribute.name.lstrip('_')}`"
            )


def _parts(node: Type | Field) -> Iterator[tuple[Type | Field, str]]:
    for attribute in node.__struct_fields__:
        value = getattr(node, attribute)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Type | Field):
                yield part, part.name if isinstance(part, Field) else ""
