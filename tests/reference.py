"""`python -m tests.reference`: write the tables of docs/reference again, from the code.

Each page has one generated part, between two comments. The drills' is written by `make drill`.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from sidecar.cli import main as sidecar_command
from sidecar.config.cors_policy import CorsPolicy
from sidecar.config.declaration import Declaration, as_text
from sidecar.config.settings import declarations
from sidecar.lint.rules import RULES
from sidecar.telemetry.log_event import LOG_EVENTS
from sidecar.telemetry.metric import INSTRUMENTS
from tests.benchmarks.kept import kept_table
from tests.markdown import coded_table

FOLDER: Final = Path(__file__).parents[1] / "docs" / "reference"
VARIABLE_HEADER: Final = ("Variable", "Default", "Meaning")
RULE_HEADER: Final = ("Id", "Development, test", "Staging, production", "What it finds")
METRIC_HEADER: Final = ("Name", "Type", "Labels", "Meaning")
EVENT_HEADER: Final = ("Event", "Level", "Meaning", "Further keys")
_PART: Final = re.compile(
    r"(?<=<!-- generated: begin -->\n).*?(?=<!-- generated: end -->)", re.DOTALL
)


def tables() -> dict[str, str]:
    """Return the generated part of each page that is written here, by the page's name."""
    return {
        "variables": coded_table(VARIABLE_HEADER, variable_rows()),
        "rules": coded_table(RULE_HEADER, rule_rows()),
        "metrics": coded_table(METRIC_HEADER, metric_rows()),
        "log-events": "\n".join(_table(EVENT_HEADER, event_rows())),
        "commands": "\n".join(command_lines(sidecar_command, "sidecar")),
        "benchmarks": kept_table(),
    }


def page(name: str) -> Path:
    """Return where a page is."""
    return FOLDER / f"{name}.md"


def read_part(name: str) -> str:
    """Return a page's generated part; end the program when it has none."""
    found = _PART.search(page(name).read_text(encoding="utf-8"))
    if found is None:
        sys.exit(f"{page(name)} has no markers")
    return found.group().strip()


def write_part(name: str, content: str) -> None:
    """Put a part in the place of the one before."""
    read_part(name)
    text = page(name).read_text(encoding="utf-8")
    # A replacement that is a text would have its backslashes read.
    written = _PART.sub(lambda _: f"\n{content.strip()}\n\n", text)
    page(name).write_text(written, encoding="utf-8")


def variable_rows() -> list[tuple[str, ...]]:
    """Return name, default and meaning of every variable; a default in production in brackets."""
    return [(each.name, _defaults(each), each.meaning) for each in declarations()]


def _defaults(declaration: Declaration) -> str:
    usual = _default(declaration.default)
    if declaration.strict is None or declaration.strict == declaration.default:
        return usual
    return f"{usual} (production: {_default(declaration.strict)})"


def _default(default: object) -> str:
    if default is None or default == ():
        return "-"
    return ",".join(default.origins) if isinstance(default, CorsPolicy) else as_text(default)


def rule_rows() -> list[tuple[str, ...]]:
    """Return id, both severities and subject of every rule, sorted by id."""
    return [
        (rule.id, rule.relaxed.value if rule.relaxed else "-", rule.strict.value, rule.detects)
        for rule in RULES
    ]


def metric_rows() -> list[tuple[str, ...]]:
    """Return name, type, labels and meaning of each metric, by name."""
    return [
        (
            each.prometheus_name,
            # Prometheus knows no counter that goes down.
            "gauge" if each.kind == "updowncounter" else each.kind.value,
            ", ".join(f"`{label.replace('.', '_')}`" for label in each.attributes) or "-",
            each.description,
        )
        for each in sorted(INSTRUMENTS, key=lambda each: each.prometheus_name)
    ]


def event_rows() -> list[tuple[str, ...]]:
    """Return name, levels, meaning and further keys of each log event, by name."""
    return [
        (
            f"`{each.name}`",
            ", ".join(each.levels),
            each.brief,
            ", ".join(f"`{key}`" for key in each.attributes) or "-",
        )
        for each in sorted(LOG_EVENTS, key=lambda each: each.name)
    ]


def command_lines(command: click.Command, name: str) -> Iterator[str]:
    """Yield the lines that describe a command and those below it, but for hidden ones."""
    context = click.Context(command, info_name=name)
    yield f"## `{name}`\n" if isinstance(command, click.Group) else f"### `{name}`\n"
    yield f"```text\n{' '.join((name, *command.collect_usage_pieces(context)))}\n```\n"
    yield from (f"{_plain(paragraph)}\n" for paragraph in (command.help or "").split("\n\n"))
    yield from _option_lines(context)
    if isinstance(command, click.Group):
        # Commands of its own first, so that each group's stand together.
        below = sorted(command.commands.items(), key=lambda item: isinstance(item[1], click.Group))
        for word, each in below:
            if not each.hidden:
                yield from command_lines(each, f"{name} {word}")


def _option_lines(context: click.Context) -> Iterator[str]:
    records = filter(None, (each.get_help_record(context) for each in context.command.params))
    # An argument has no text of its own: the command's says what it is.
    rows = [(f"`{names}`", _plain(text)) for names, text in records if text]
    if rows:
        yield from _table(("Option", "Meaning"), rows)
        yield ""


def _plain(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (header, tuple("---" for _ in header), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def main() -> None:
    """Write every page's table."""
    for name, table in tables().items():
        write_part(name, table)


if __name__ == "__main__":
    main()
