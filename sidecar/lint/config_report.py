"""What `/config-report` and `sidecar check` show, made from the same findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from sidecar.config.declaration import Declaration
from sidecar.config.environ import Environ
from sidecar.config.environment import Environment
from sidecar.config.form import Shown
from sidecar.config.opaque import has_opaque
from sidecar.config.settings import Settings, declarations
from sidecar.lint.change import Change
from sidecar.lint.checklist import Item
from sidecar.lint.finding import Finding

DEFAULT_SOURCE = "default"
LONGEST_BUCKET = 128


class Status(StrEnum):
    """The findings in one word, one for each severity; `refused` in strict environments only."""

    OK = "ok"
    WARNINGS = "warnings"
    INVALID = "invalid"
    REFUSED = "refused"


SettingFields = dict[str, Shown]


@dataclass(frozen=True, slots=True)
class Report:
    """The configuration's state at one moment, fit to be shown: it holds no secret.

    Attributes:
        generated_at: Aware UTC.
        settings: By variable; only what each form allows to be shown.
        changes: What is different since the process started.
    """

    status: Status
    environment: Environment
    generated_at: datetime
    findings: tuple[Finding, ...]
    settings: Mapping[str, SettingFields]
    checklist: tuple[Item, ...]
    changes: tuple[Change, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON; times as RFC 3339."""
        findings = [each.as_dict() for each in self.findings]
        return {**msgspec.to_builtins(self), "findings": findings}


def status_of(findings: Sequence[Finding]) -> Status:
    """Sum the active findings up by the worst of them."""
    worst = max((each.severity.rank for each in findings if each.is_active), default=0)
    return list(Status)[worst]


def shown_settings(settings: Settings, environ: Environ) -> dict[str, SettingFields]:
    """Return every declared variable: its value where the form allows, else set and length."""
    return {each.name: _shown(each, settings, environ) for each in declarations()}


def length_bucket(length: int) -> str:
    """Return the power-of-two range that a length lies in, such as `32-63`; `128+` at the top."""
    if length == 0:
        return "0"
    if length >= LONGEST_BUCKET:
        return f"{LONGEST_BUCKET}+"
    low = 1 << (length.bit_length() - 1)
    return f"{low}-{2 * low - 1}"


def _shown(declaration: Declaration, settings: Settings, environ: Environ) -> SettingFields:
    variable = environ.get(declaration.name)
    given = variable if variable is not None and variable.value else None
    source = DEFAULT_SOURCE if given is None else given.source
    shown: SettingFields = {"set": given is not None, "source": source}
    if given is not None and has_opaque(given.value):
        return shown
    public = declaration.shown(getattr(settings, declaration.field))
    if isinstance(public, Mapping):
        return shown | dict(public)
    if public is not None:
        return shown | {"value": public}
    if given is not None and declaration.default is None:
        return shown | {"length": length_bucket(len(given.value))}
    return shown
