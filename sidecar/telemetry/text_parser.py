"""Reading the Prometheus text format: strictly, line by line, without rebuilding each sample."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

PROCESS_LABEL: Final = "process"
SERVICE_LABEL: Final = "service"

_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL: Final = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_NUMBER: Final = (
    r"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|Inf|NaN)"
)
_SAMPLE: Final = re.compile(
    rf"({_NAME})(?:\{{((?:{_LABEL}(?:,{_LABEL})*)?),?\}})? ({_NUMBER})(?: -?[0-9]+)?"
)
# Inside a value the quote would be escaped, so this finds label names only.
_TAKEN: Final = re.compile(rf'(^|,)({SERVICE_LABEL}|{PROCESS_LABEL})="')
_EACH_LABEL: Final = re.compile(_LABEL)
_ESCAPED: Final = re.compile(r'\\(["\\n])')
_META: Final = re.compile(rf"# (HELP|TYPE) ({_NAME})(?: (.*))?")
_TYPES: Final = frozenset({"counter", "gauge", "histogram", "summary", "untyped"})
_SUFFIXES: Final = {
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("", "_sum", "_count"),
}


class ExpositionError(ValueError):
    """A text is no exposition; the message names the line's number and never its content."""


@dataclass(slots=True)
class Family:
    """One metric's samples, as lines.

    Attributes:
        name: As it stands behind TYPE; a counter's ends with `_total`.
        type: `counter`, `gauge`, `histogram`, `summary` or `untyped`.
        help: Escaped as in the text.
        lines: Samples with the labels of their origin, without line ends.
    """

    name: str
    type: str = "untyped"
    help: str = ""
    lines: list[str] = field(default_factory=list)


def read_families(text: str, origin: str, max_series: int) -> dict[str, Family]:
    """Return the families of a text by name, each sample with the labels of `write_origin`.

    Timestamps are left out: the numbers are as old as the scrape. A `process` label that a sample
    has already becomes `exported_process`, as in Prometheus itself; so does a `service` label.

    Raises:
        ExpositionError: A line is malformed, belongs to no family, or there are too many.
    """
    reader = _Reader(origin, max_series)
    for number, line in enumerate(text.split("\n"), start=1):
        if line:
            reader.read(line, number)
    return {name: family for name, family in reader.families.items() if family.lines}


def find_samples(text: str, name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Yield labels and value of each labelled sample of one metric, wherever it stands in a text.

    The rest of the text costs next to nothing. A malformed line is left out, and so is the first.
    """
    begin, end = f"\n{name}{{", 0
    while (start := text.find(begin, end)) >= 0:
        end = text.find("\n", start + 1)
        match = _SAMPLE.fullmatch(text, start + 1, end if end >= 0 else len(text))
        if match is not None:
            labels = _EACH_LABEL.findall(match[2])
            yield dict(map(_read_label, labels)), float(match[3])
        if end < 0:
            return


def _read_label(label: str) -> tuple[str, str]:
    """Return name and value of what `write_label` wrote."""
    name, _, quoted = label.partition("=")
    return name, _ESCAPED.sub(lambda match: "\n" if match[1] == "n" else match[1], quoted[1:-1])


class _Reader:
    def __init__(self, origin: str, max_series: int) -> None:
        self.families: dict[str, Family] = {}
        self._origin: Final = origin
        self._remaining = max_series
        self._family = Family("")
        self._sample_names: frozenset[str] = frozenset()

    def read(self, line: str, number: int) -> None:
        if line.startswith("#"):
            self._read_comment(line, number)
            return
        match = _SAMPLE.fullmatch(line)
        if match is None:
            raise ExpositionError(f"Line {number} is no sample.")
        self._remaining -= 1
        if self._remaining < 0:
            raise ExpositionError(f"Line {number} is one sample too many.")
        name, labels, value = match.groups()
        if name not in self._sample_names:
            self._enter(name, number)
        self._family.lines.append(f"{name}{{{self._join(labels)}}} {value}")

    def _join(self, labels: str | None) -> str:
        if not labels:
            return self._origin
        if PROCESS_LABEL in labels or SERVICE_LABEL in labels:
            labels = _TAKEN.sub(r'\1exported_\2="', labels)
        return f"{labels},{self._origin}"

    def _read_comment(self, line: str, number: int) -> None:
        match = _META.fullmatch(line)
        if match is None:
            return
        keyword, name, rest = match.groups()
        family = self.families.setdefault(name, Family(name))
        if keyword == "HELP":
            family.help = rest or ""
        elif rest not in _TYPES or family.lines:
            raise ExpositionError(f"Line {number} gives no type, or gives it too late.")
        else:
            family.type = rest
        self._select(family)

    def _enter(self, name: str, number: int) -> None:
        """Make the family of a sample current that does not belong to the last one named."""
        if name.endswith(("_bucket", "_sum", "_count")):
            family = self.families.get(name.rsplit("_", 1)[0])
            if family is not None and name in _sample_names(family):
                self._select(family)
                return
        family = self.families.setdefault(name, Family(name))
        self._select(family)
        if name not in self._sample_names:
            raise ExpositionError(f"Line {number} does not fit the type of its family.")

    def _select(self, family: Family) -> None:
        self._family = family
        self._sample_names = _sample_names(family)


def _sample_names(family: Family) -> frozenset[str]:
    return frozenset(family.name + suffix for suffix in _SUFFIXES.get(family.type, ("",)))


def write_origin(service: str, process: str) -> str:
    """Return the labels that say whose numbers these are; without a service, of which process."""
    label = write_label(PROCESS_LABEL, process)
    return f"{write_label(SERVICE_LABEL, service)},{label}" if service else label


def write_label(name: str, value: str) -> str:
    """Return one label as it stands between the braces."""
    if "\\" in value or '"' in value or "\n" in value:
        value = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'{name}="{value}"'
