"""Which classes can be events: those with known fields and immutable objects."""

import dataclasses
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar, is_typeddict

from sidecar.errors import EventTypeError

E = TypeVar("E")

_KNOWN: Final = "a dataclass, a msgspec.Struct, an attrs class or a pydantic model"


class _Family(NamedTuple):
    """Classes that are declared in one way, and how to declare one that is frozen."""

    matches: Callable[[type], bool]
    is_frozen: Callable[[Any], bool]
    cure: str


def is_of_pydantic(cls: type) -> bool:
    """Return True for a model or a dataclass of pydantic, without importing it."""
    return hasattr(cls, "__pydantic_validator__")


def require_frozen(cls: type[E]) -> type[E]:
    """Return the class.

    Raises:
        EventTypeError: Its objects can be changed, or their fields are unknown.
    """
    if not isinstance(cls, type):
        raise EventTypeError(_describe_alias(cls))
    family = next((family for family in _FAMILIES if family.matches(cls)), None)
    if family is None:
        raise EventTypeError(_describe_unknown(cls))
    if not family.is_frozen(cls):
        raise EventTypeError(
            f"{cls.__name__} can be mutated: {family.cure}, which makes it frozen."
        )
    return cls


def _is_frozen_model(cls: Any) -> bool:  # noqa: ANN401 - a model of any version of pydantic 2
    fields = cls.__pydantic_fields__.values()
    return bool(cls.model_config.get("frozen")) or all(field.frozen for field in fields)


_FAMILIES: Final = (
    _Family(
        lambda cls: is_of_pydantic(cls) and not dataclasses.is_dataclass(cls),
        _is_frozen_model,
        "set `model_config = ConfigDict(frozen=True)`",
    ),
    _Family(
        dataclasses.is_dataclass,
        lambda cls: cls.__dataclass_params__.frozen,
        "decorate it with `@dataclass(frozen=True)`",
    ),
    _Family(
        lambda cls: hasattr(cls, "__struct_config__"),
        lambda cls: cls.__struct_config__.frozen,
        "declare it with `msgspec.Struct, frozen=True`",
    ),
    _Family(
        lambda cls: hasattr(cls, "__attrs_attrs__"),
        # The method that attrs gives to frozen classes, and to the classes that inherit from them.
        lambda cls: cls.__setattr__.__name__ == "_frozen_setattrs",
        "decorate it with `@attrs.frozen`",
    ),
)


def _describe_alias(alias: object) -> str:
    origin = getattr(alias, "__origin__", None)
    if isinstance(origin, type):
        return (
            f"{alias} is an alias of {origin.__name__}, which is the class of its objects; "
            f"register a class of its own, as in `class Named({alias})`."
        )
    return f"{alias} is no class; register each class by itself."


def _describe_unknown(cls: type) -> str:
    name = cls.__name__
    if is_typeddict(cls):
        return f"{name} is a TypedDict, and its objects are mere dicts; make it {_KNOWN}."
    if issubclass(cls, tuple):
        return (
            f"{name} is a tuple, whose JSON has no names for upcasters to go by; make it {_KNOWN}."
        )
    if hasattr(cls, "__fields__") and hasattr(cls, "__config__"):
        return f"{name} is a model of pydantic 1; make it one of pydantic 2, or {_KNOWN}."
    return (
        f"{name} is a plain class, and its fields are unknown; make it {_KNOWN} that is frozen. "
        "Where a decorator does that, `register` stands above it."
    )
