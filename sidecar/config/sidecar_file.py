"""A project's own rules: `sidecar.toml`, or `[tool.sidecar]` in `pyproject.toml`."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from sidecar.config.bounded import FileTooLargeError, read_bounded
from sidecar.config.fault import Fault, FaultKind
from sidecar.config.project_rules import NEVER_SILENCED, ProjectRules
from sidecar.config.severity import Severity
from sidecar.config.variable_name import is_plain_name

_OWN_FILE = "sidecar.toml"
_PROJECT_FILE = "pyproject.toml"
_LIMIT_BYTES = 1024 * 1024
_HINT = (
    "Known keys: required, any_of, pairs, pattern, bytes, deprecated, rules, severity and "
    "silenced; docs/configuration.md shows each."
)

_Mistake = tuple[str, str, str]
"""What is wrong, with which key, and with which entry inside of it."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The file as text, to find the line of a mistake."""

    name: str
    text: str

    def mistake(self, what: str, key: str, inner: str = "") -> Fault:
        """Return the fault of a key, or of an entry inside of it."""
        line = self._line(key, inner)
        place = "" if line is None else f", line {line}"
        message = f"{self.name}{place}: {what}."
        return _fault(self.name, message, line)

    def _line(self, key: str, inner: str) -> int | None:
        quoted = r"""["']?{}["']?"""
        start = rf"^[ \t]*\[*(?:tool\.sidecar\.)?{quoted.format(re.escape(key))}[ \t]*[\].=]"
        found = re.search(start, self.text, re.MULTILINE)
        if found is None:
            return None
        inside = inner and re.compile(rf"{quoted.format(re.escape(inner))}").search(
            self.text, found.start()
        )
        place = inside.start() if inside else found.end()
        return self.text.count("\n", 0, place) + 1


def read(
    repository: Path | None, *, today: date | None = None
) -> tuple[ProjectRules, tuple[Fault, ...]]:
    """Read a project's rules; a mistake becomes a fault, and what is right still holds.

    `sidecar.toml` wins over `pyproject.toml`. Never raises for what is in the files.
    """
    if repository is None:
        return ProjectRules(), ()
    for name in (_OWN_FILE, _PROJECT_FILE):
        path = repository / name
        try:
            if not path.exists():
                continue
            source = _Source(name, read_bounded(path, _LIMIT_BYTES).decode("utf-8-sig"))
            table = _table(source)
            if table is not None:
                return _checked(source, table, today)
        except (OSError, ValueError, RecursionError) as error:
            return ProjectRules(), (_unread(name, error),)
    return ProjectRules(), ()


def _table(source: _Source) -> dict[str, Any] | None:
    content = tomllib.loads(source.text.replace("\r\n", "\n"))
    if source.name == _OWN_FILE:
        return content
    tool = content.get("tool")
    table = tool.get("sidecar") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _checked(
    source: _Source, table: dict[str, Any], today: date | None
) -> tuple[ProjectRules, tuple[Fault, ...]]:
    types = {key: kind for key, kind in get_type_hints(ProjectRules).items() if key != "file"}
    known: dict[str, Any] = {"file": source.name}
    mistakes: list[Fault] = []
    for key, value in table.items():
        if key not in types:
            mistakes.append(source.mistake(f"it contains the unknown field `{key}`", key))
            continue
        try:
            known[key] = msgspec.convert(value, types[key])
        except msgspec.ValidationError as error:
            mistakes.append(_misfit(source, key, error))
    project = ProjectRules(**known)
    found = (source.mistake(*each) for each in _mistakes(project, today))
    return project, (*mistakes, *found)


def _misfit(source: _Source, key: str, error: msgspec.ValidationError) -> Fault:
    # The message may quote a value of the file, which may be anything.
    said = re.sub(r"'[^']*'", "a value", str(error))
    what, _, place = said.partition(" - at `")
    inner = re.search(r"\$(?:\.(\w+)|\[\.\.\.\])", place)
    where = place.rstrip("`").replace("$", key) or key
    return source.mistake(f"{where}: {what[:1].lower()}{what[1:]}", key, (inner and inner[1]) or "")


def _mistakes(project: ProjectRules, today: date | None) -> Iterator[_Mistake]:
    """Find what is of the right type and makes no sense."""
    yield from _silence_mistakes(project, today)
    for rule in NEVER_SILENCED & project.severity.keys():
        what = f"it changes the severity of {rule}, which cannot be: rotate the secret instead"
        yield what, "severity", rule
    for name, pattern in project.pattern.items():
        if compiled(pattern) is None:
            yield f"the pattern of {name} is no regular expression", "pattern", name
    for name, length in project.bytes.items():
        if length < 1:
            yield f"the bytes of {name} are not 1 or more", "bytes", name
    for pair in project.pairs:
        if len(pair) < len(("one", "other")):
            yield "a pair has fewer than two names", "pairs", "".join(pair)
    yield from _name_mistakes(project)


def _silence_mistakes(project: ProjectRules, today: date | None) -> Iterator[_Mistake]:
    for rule, silence in project.silences():
        if not silence.reason.strip():
            yield f"it silences {rule} without a reason", "silenced", rule
        elif rule in NEVER_SILENCED:
            what = f"it silences {rule}, which cannot be: rotate the secret instead"
            yield what, "silenced", rule
        elif silence.until is not None and today is not None and today > silence.until:
            what = f"the silence of {rule} ended on {silence.until}; put it right or renew it"
            yield what, "silenced", rule


def _name_mistakes(project: ProjectRules) -> Iterator[_Mistake]:
    names: dict[str, Iterable[str]] = {
        "required": project.required,
        "any_of": project.grouped(),
        "pairs": (name for pair in project.pairs for name in pair),
        "pattern": project.pattern,
        "bytes": project.bytes,
        "deprecated": project.deprecated,
    }
    for key, listed in names.items():
        for name in listed:
            if not is_plain_name(name):
                yield f"{key} has a name that no variable can have", key, name


def compiled(pattern: str) -> re.Pattern[str] | None:
    """Return the expression ready for use; `None` when it is none."""
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


def _unread(name: str, error: Exception) -> Fault:
    what, line = "it cannot be read", None
    if isinstance(error, tomllib.TOMLDecodeError):
        # The message may quote the file; the place is enough to find the mistake.
        place = re.search(r"\(at (?:line (\d+), column \d+|end of document)\)", str(error))
        what = f"it is not TOML {place.group() if place else ''}".rstrip()
        line = int(place[1]) if place and place[1] else None
    elif isinstance(error, UnicodeDecodeError):
        what = "it is not UTF-8 text"
    elif isinstance(error, FileTooLargeError):
        what = "it is larger than 1 MiB"
    return _fault(name, f"{name} was left aside: {what}.", line)


def _fault(name: str, message: str, line: int | None) -> Fault:
    # An error at most: what is right in the file still holds.
    return Fault(FaultKind.PROJECT, name, message, _HINT, name, line, Severity.ERROR)
