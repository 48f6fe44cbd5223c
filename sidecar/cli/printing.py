"""How lists are printed: a table for people, JSON for machines."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import click

from sidecar.telemetry.terminal import Screen, say, say_json

FORMAT = click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)


def print_rows(rows: Sequence[Any], columns: Mapping[str, str], *, output: str, empty: str) -> None:
    """Print dataclasses as a table, whose columns are headings by attribute, or as a JSON list."""
    if output == "json":
        say_json([dataclasses.asdict(row) for row in rows])
    elif not rows:
        say(empty)
    else:
        cells = [[_cell(getattr(row, name)) for name in columns] for row in rows]
        Screen().table(list(columns.values()), cells)


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
