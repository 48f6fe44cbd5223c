"""What is said once about a variable: for reading, docs/reference, `.env.example` and report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sidecar.config.environment import Environment
from sidecar.config.fault import FaultKind
from sidecar.config.form import Form, Shown

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A variable and the setting that it fills.

    Attributes:
        name: The variable.
        form: What its value looks like.
        meaning: One line for people.
        field: The attribute of `Settings`.
        default: Used when unset.
        strict: Default in staging and production where it differs, else `None`.
        misfit: The kind of fault that a value out of form is.
    """

    name: str
    form: Form[Any]
    meaning: str
    field: str
    default: object
    strict: object
    misfit: FaultKind

    def shown(self, value: object) -> Shown:
        """Give what a report may show of a value; `None` when that is nothing."""
        return None if self.form.show is None or value is None else self.form.show(value)

    def default_in(self, environment: Environment) -> object:
        """Give the default for an environment."""
        return self.strict if environment.is_strict and self.strict is not None else self.default


def declared(
    name: str,
    form: Form[T],
    meaning: str,
    *,
    strict: T | None = None,
    misfit: FaultKind = FaultKind.FORM,
) -> Mapping[str, object]:
    """Make the metadata of a field of `Settings`."""
    return {"name": name, "form": form, "meaning": meaning, "strict": strict, "misfit": misfit}
