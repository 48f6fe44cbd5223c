"""What is said once about a variable: for reading, README, `.env.example` and report."""

from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from sidecar.config.environment import Environment
from sidecar.config.form import Form, Shown, form_of

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A variable and the setting that it fills.

    Attributes:
        meaning: One line for people.
        strict: Default in staging and production where it differs, else `None`.
        example: A value that fits; shown to people.
        field: The attribute of `Settings`.
    """

    name: str
    default: object
    meaning: str
    form: Form[Any]
    strict: object
    example: str
    field: str = ""

    @property
    def is_secret(self) -> bool:
        """Whether nothing of the value may be seen, and all of it belongs to the value."""
        return self.form.is_secret

    def shown(self, value: object) -> Shown:
        """Return what a report may show of a value; `None` when that is nothing."""
        return None if self.form.show is None or value is None else self.form.show(value)

    def default_in(self, environment: Environment) -> object:
        """Return the default for an environment."""
        return self.strict if environment.is_strict and self.strict is not None else self.default


def setting(
    name: str,
    default: D,
    meaning: str,
    form: Form[T] | None = None,
    *,
    strict: T | None = None,
    example: str | None = None,
) -> T | D:
    """Declare a field of `Settings`; the parameters are the attributes of `Declaration`.

    The form is that of the default's type when `None`, the example that of the form or else the
    default.
    """
    chosen = form or form_of(default)
    declaration = Declaration(
        name=name,
        default=default,
        meaning=meaning,
        form=chosen,
        strict=strict,
        example=example or chosen.example or as_text(default),
    )
    return cast("T | D", field(default=default, metadata={"declaration": declaration}))


def as_text(value: object) -> str:
    """Return a default as a person would write it into the variable."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
