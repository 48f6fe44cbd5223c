"""A project's own rules: `sidecar.toml`, or `[tool.sidecar]` in `pyproject.toml`."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from sidecar.config.finding import Rule, Severity, Sighting

AI_KEYS = ("GEMINI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY")
NEVER_SILENCED = frozenset({"SEC03", "SEC04"})

_OWN_FILE = "sidecar.toml"
_PROJECT_FILE = "pyproject.toml"

ENV07 = Rule(
    "ENV07",
    "a mistake in `sidecar.toml` or `[tool.sidecar]`",
    relaxed=Severity.WARNING,
    strict=Severity.ERROR,
)


class SidecarFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a project adapts.

    Attributes:
        required: Secrets that must be set, besides the usual ones.
        any_of: Groups of variables of which one at least must be set; `any_of = {}` is for a
            service without AI.
        severity: By rule id.
        silenced: Reasons by rule id.
        file: Where it was read from; `None` for the defaults.
    """

    required: tuple[str, ...] = ()
    any_of: dict[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: {"ai": AI_KEYS})
    severity: dict[str, Severity] = msgspec.field(default_factory=dict)
    silenced: dict[str, str] = msgspec.field(default_factory=dict)
    file: str | None = None

    def silences(self, rule: str) -> bool:
        """Whether the project gave a reason to silence a rule; published secrets cannot be."""
        return rule not in NEVER_SILENCED and bool(self.silenced.get(rule, "").strip())

    def grouped(self) -> frozenset[str]:
        """Give every variable of every any-of group."""
        return frozenset(name for names in self.any_of.values() for name in names)


def read(repository: Path | None) -> tuple[SidecarFile, tuple[Sighting, ...]]:
    """Read a project's rules; a mistake becomes a sighting and the defaults hold.

    `sidecar.toml` wins over `pyproject.toml`. Never raises for what is in the files.
    """
    if repository is None:
        return SidecarFile(), ()
    for name in (_OWN_FILE, _PROJECT_FILE):
        path = repository / name
        try:
            table = _table(path) if path.exists() else None
            if table is not None:
                return _checked(name, table)
        except (OSError, ValueError, RecursionError) as error:
            return SidecarFile(), (_mistake(name, _what(error)),)
    return SidecarFile(), ()


def _table(path: Path) -> dict[str, Any] | None:
    content = tomllib.loads(path.read_text("utf-8-sig"))
    if path.name == _OWN_FILE:
        return content
    tool = content.get("tool")
    table = tool.get("sidecar") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _checked(name: str, table: dict[str, Any]) -> tuple[SidecarFile, tuple[Sighting, ...]]:
    known = {key: value for key, value in table.items() if key != "file"}
    own = msgspec.convert(known | {"file": name}, SidecarFile)
    mistakes = tuple(
        _mistake(name, f"it silences {rule} without a reason")
        for rule, reason in own.silenced.items()
        if not reason.strip()
    )
    return own, mistakes


def _what(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return str(error).replace("Object contains", "it contains")
    if isinstance(error, tomllib.TOMLDecodeError):
        # The message may quote the file; the place is enough to find the mistake.
        place = re.search(r"\(at (?:line \d+, column \d+|end of document)\)", str(error))
        return f"it is not TOML {place.group() if place else ''}".rstrip()
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return "it cannot be read"


def _mistake(name: str, what: str) -> Sighting:
    return Sighting(
        ENV07,
        name,
        f"{name} was left aside: {what}." if "silences" not in what else f"{name}: {what}.",
        "Known keys: required = [], any_of = {}, [severity] and [silenced] by rule id.",
        name,
    )
