"""Fields without JSON form, found when a class is registered and not at the first append."""

from collections.abc import Iterator
from types import NoneType
from typing import Any, Final, get_type_hints

import msgspec
from msgspec import inspect
from msgspec.inspect import CustomType, DataclassType, Field, Type, UnionType, type_info

from sidecar.errors import EventTypeError
from sidecar.events.frozen import is_of_pydantic
from sidecar.events.nested import NestedForms

_PLAIN: Final = (str, int, float, bool, NoneType, list, dict)
_EXACT: Final = frozenset(
    {
        inspect.NoneType, inspect.BoolType, inspect.IntType, inspect.StrType, inspect.BytesType,
        inspect.DecimalType, inspect.UUIDType, inspect.EnumType, inspect.LiteralType,
        inspect.DateType, inspect.TimeType, inspect.DateTimeType, inspect.TimeDeltaType,
    }
)  # fmt: skip
# Words of msgspec, and what can be done about that.
_CURES: Final = (
    ("multiple Struct types", "give each of them a tag, as in `msgspec.Struct, tag=True`"),
    ("more than one", "declare one of them, or tagged structs of msgspec"),
    ("Enums must", "give its members text, or whole numbers"),
)


def describe_misfit(cls: type, error: Exception) -> str:
    """Name the field of a class that msgspec refused, and the reason."""
    for name, annotation in _annotations(cls):
        try:
            msgspec.json.Decoder(annotation)
        except Exception as reason:  # noqa: BLE001 - an annotation is user code
            return f"Field `{name}` of {cls.__name__} has no JSON form: {_shorten(reason)}."
    return f"{cls.__name__} has no JSON form: {_shorten(error)}."


def find_misfit(cls: type, nested: NestedForms) -> str | None:
    """Describe a field that msgspec accepts but could not write or read; None without one.

    msgspec leaves unknown classes to hooks, and leaves private attributes out.
    """
    return next(_find_misfits(type_info(cls), cls.__name__, nested, set()), None)


def require_formless(cls: type, nested: NestedForms) -> None:
    """Make sure that the form of a class in JSON can be told, since it has none.

    Raises:
        EventTypeError: It is no class, or has one.
    """
    if not isinstance(cls, type):
        raise EventTypeError(f"{cls!r} is no class, and its form cannot be told.")
    if nested.has(cls):
        raise EventTypeError(f"The form of {cls.__name__} is told already.")
    try:
        known = type_info(cls)
    except TypeError as error:
        raise EventTypeError(f"{cls.__name__} cannot be a field: {_shorten(error)}.") from error
    if not isinstance(known, CustomType) or _is_known(cls):
        raise EventTypeError(f"{cls.__name__} has a JSON form already, which would be used.")


def may_lose(cls: type) -> bool:
    """Return True when an object may be read as another, though its JSON fits the class.

    Where each field holds one value of a declared type, what is not of that type is refused.
    """
    if is_of_pydantic(cls):
        return True
    fields = type_info(cls).fields  # type: ignore[attr-defined]  # of a class that has some
    return not all(map(_is_exact, (field.type for field in fields)))


def _is_exact(node: Type) -> bool:
    kinds = node.types if isinstance(node, UnionType) else (node,)
    return all(type(kind) in _EXACT for kind in kinds)


def _annotations(cls: type) -> list[tuple[str, Any]]:
    try:
        return list(get_type_hints(cls, include_extras=True).items())
    except (NameError, TypeError, AttributeError):
        return []


def _shorten(error: Exception) -> str:
    said = f"{type(error).__name__}: {error}".removeprefix("TypeError: ").rstrip(".")
    cure = next((cure for words, cure in _CURES if words in said), None)
    return said if cure is None else f"{said}; {cure}"


def _find_misfits(
    node: Type | Field, place: str, nested: NestedForms, seen: set[int]
) -> Iterator[str]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, CustomType) and not (nested.has(node.cls) or _is_known(node.cls)):
        name = getattr(node.cls, "__name__", node.cls)
        yield (
            f"{place} is a {name}, which has no JSON form; make that a dataclass, a "
            "msgspec.Struct, an attrs class or a pydantic model, or tell its form by "
            f"`types.value({name}, to_json=..., from_json=...)`, or keep a plain value"
        )
    if isinstance(node, DataclassType):
        yield from _find_private(node.cls)
    for inner, name in _parts(node):
        yield from _find_misfits(inner, f"{place}.{name}" if name else place, nested, seen)


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
