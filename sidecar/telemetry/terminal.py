"""The one way to a terminal: commands and the demo say through here what they say."""

from typing import Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sidecar.telemetry.visible import visible, visible_json, visible_lines

# Cut off by nothing when the output goes to a file or a pipe.
_WIDE: Final = 10_000


def say(text: str, *, err: bool = False) -> None:
    """Write lines."""
    click.echo(visible_lines(text), err=err)


def say_json(value: object) -> None:
    """Write plain data or dataclasses as indented JSON."""
    document = msgspec.json.format(msgspec.json.encode(value)).decode()
    click.echo(visible_json(document))


class Screen:
    """Writes lines with styles, where a terminal shows them."""

    def __init__(self) -> None:
        self._console: Final = Console(highlight=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks on."""
        return self._console.is_terminal

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Write one line of texts, each alone or with its style."""
        styled = ((part, "") if isinstance(part, str) else part for part in parts)
        self._console.print(Text.assemble(*((visible(text), style) for text, style in styled)))

    def table(self, headings: list[str], rows: list[list[str]]) -> None:
        """Write a table."""
        table = Table(*headings, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        Console(width=None if self.is_terminal else _WIDE).print(table)

    def progress(self) -> Progress:
        """Return a bar for tasks with a field `rate`."""
        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(),
            console=self._console,
        )
