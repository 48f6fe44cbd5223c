"""The last run that was kept: shown in docs/reference, and compared with later ones."""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from tests.benchmarks.measure import Result
from tests.markdown import coded_table

KEPT: Final = Path(__file__).with_name("kept.json")
HEADER: Final = ("Name", "Unit", "Ours", "Peer", "Ratio", "Limit", "Peer is")


class Row(msgspec.Struct, frozen=True):
    """One row of the table, as it is written for machines."""

    name: str
    unit: str
    ours: float
    peer: float | None
    peer_name: str | None
    ratio: float | None
    limit: str
    holds: bool

    @property
    def figure(self) -> float:
        """What says most: the ratio, which travels, or the figure where there is no peer."""
        return self.ours if self.ratio is None else self.ratio


class Kept(msgspec.Struct, frozen=True):
    """A whole run.

    Attributes:
        date: When it was made, as 2026-11-24.
        machine: What it ran on, in words.
    """

    date: str
    machine: str
    rows: list[Row]


def as_row(result: Result) -> Row:
    pair = result.pair
    return Row(
        result.name,
        result.unit,
        pair.ours,
        pair.peer,
        result.peer_name,
        pair.ratio,
        result.limit.text,
        result.holds,
    )


def keep(results: Iterable[Result], machine: str) -> None:
    """Keep a run in place of the one before."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    kept = Kept(today, machine, [as_row(result) for result in results])
    KEPT.write_bytes(encode(kept))


def read_kept() -> Kept:
    """Read the run that was kept."""
    return msgspec.json.decode(KEPT.read_bytes(), type=Kept)


def kept_figures() -> dict[str, float]:
    """Return what the kept run measured, by name; empty before the first was kept."""
    return {row.name: row.figure for row in read_kept().rows} if KEPT.exists() else {}


def encode(content: object) -> bytes:
    """Write as JSON for people and machines."""
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def show(number: float | None) -> str:
    """Write a figure with about three digits that mean something."""
    if number is None:
        return ""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def kept_table() -> str:
    """Return the kept run as Markdown."""
    kept = read_kept()
    rows = [
        (
            row.name,
            row.unit,
            show(row.ours),
            show(row.peer) or "-",
            show(row.ratio) or "-",
            row.limit + ("" if row.holds else " (**missed**)"),
            row.peer_name or "-",
        )
        for row in kept.rows
    ]
    return f"{coded_table(HEADER, rows)}\n{kept.date}; {kept.machine}.\n"
