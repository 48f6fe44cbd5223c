"""How lists are printed: a table for people, JSON for machines."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

FORMAT = click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)


def print_rows(rows: Sequence[Any], columns: Mapping[str, str], *, output: str, empty: str) -> None:
    """Print dataclasses as a table or as a JSON list.

    Args:
        rows: What to print.
        columns: Heading by attribute, for the table.
        output: `text` or `json`.
        empty: The sentence for no rows at all.
    """
    if output == "json":
        print_json([dataclasses.asdict(row) for row in rows])
    elif not rows:
        click.echo(empty)
    else:
        table = Table(*columns.values(), box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(_cell(getattr(row, name))) for name in columns))
        console = Console()
        # Cut off by nothing when the output goes to a file or a pipe.
        width = None if console.is_terminal else 10_000
        Console(width=width).print(table)


def print_json(value: object) -> None:
    """Print plain data and dataclasses as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    if hasattr(value, "isoformat"):
        return str(value.isoformat(sep=" ", timespec="seconds"))
    return str(value)
