"""`python -m tests.incidents.drills.report`: how the drills went, shown and put in docs."""

import re
import sys
from collections.abc import Sequence
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from tests.incidents.drills.drill import (
    Alert,
    Check,
    Drill,
    Letter,
    Log,
    Metric,
    Sentence,
    Signal,
)
from tests.incidents.drills.record import Record, recall
from tests.incidents.drills.table import DRILLS
from tests.reference import write_part

HEADER: Final = (
    "Incident",
    "How it is made",
    "Alert",
    "Check",
    "Metric",
    "Log line",
    "Dead letter",
    "Status page",
    "Over",
)
KINDS: Final = ("alert", "check", "metric", "log", "letter", "sentence")
NONE: Final = "-"
_SERIES: Final = re.compile(r"\b(?:up|[\w:]*sidecar_[\w:]+|db_client_\w+)\b")


@click.command()
def main() -> None:
    """Show what the last run of each drill measured, and put it into docs/reference/drills.md."""
    records = [(drill, recall(drill)) for drill in DRILLS]
    missing = [drill.name for drill, record in records if record is None]
    if missing:
        sys.exit(f"Not run yet: {', '.join(missing)}. Run them all: make drill")
    done = [(drill, record) for drill, record in records if record is not None]
    rows = [row(drill, record) for drill, record in done]
    # Not on a terminal, rich would squeeze the table into 80 columns.
    console = Console() if sys.stdout.isatty() else Console(width=220)
    console.print(as_table(rows, caption([record for _, record in done])))
    write(rows, caption([record for _, record in done]))


def row(drill: Drill, record: Record) -> tuple[str, ...]:
    """Tell of one drill: what each kind of signal said, and after how many seconds."""
    signals = drill.signals.all()
    cells = [
        f"{word(signals[kind])} {record.seen[kind]:.0f} s".strip() if kind in signals else NONE
        for kind in KINDS
    ]
    cells[KINDS.index("alert")] += "".join(f", `{name}`" for name in sorted(drill.told_too))
    over = record.ready if record.resolved is None else record.resolved
    return (drill.name, drill.injected, *cells, f"{over:.0f} s")


def word(signal: Signal) -> str:
    """Name what is seen, in code, as short as it can be found again by."""
    match signal:
        case Alert(name):
            return f"`{name}`"
        case Check(name, outcome):
            return f"`{name}` {outcome}"
        case Metric(query):
            series = _SERIES.search(query)
            return f"`{query if series is None else series.group()}`"
        case Log(event):
            return f"`{event}`"
        case Letter(error_type):
            return f"`{error_type}`"
        case Sentence():
            return ""


def caption(records: Sequence[Record]) -> str:
    days = sorted({f"{record.at:%F}" for record in records})
    machines = sorted({record.machine for record in records})
    return f"Measured {' to '.join(dict.fromkeys((days[0], days[-1])))} on {'; '.join(machines)}."


def as_table(rows: Sequence[Sequence[str]], caption: str) -> Table:
    table = Table(caption=caption)
    for heading in HEADER:
        table.add_column(heading, overflow="fold")
    for cells in rows:
        table.add_row(*(cell.replace("`", "") for cell in cells))
    return table


def write(rows: Sequence[Sequence[str]], caption: str) -> None:
    lines = (HEADER, tuple("---" for _ in HEADER), *rows)
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    write_part("drills", f"{table}\n{caption}")


if __name__ == "__main__":
    main()
