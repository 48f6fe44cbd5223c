"""What a drill measured, kept as a file for the report."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from tests.incidents.drills.drill import Drill
from tests.incidents.drills.rehearsal import Seconds

FOLDER: Final = Path("build/drills")


class Record(msgspec.Struct, frozen=True):
    """One drill as it went.

    Attributes:
        seen: By kind of signal, after how many seconds.
        resolved: Seconds from the cure until the receiver knew.
        ready: Seconds from the cure until `/ready` answered 200.
    """

    name: str
    seen: dict[str, float]
    resolved: float | None
    ready: float
    at: datetime
    machine: str


def keep(drill: Drill, seconds: Seconds) -> None:
    """Write the file, over the one of an earlier run."""
    record = Record(
        drill.name,
        dict(seconds.signals),
        seconds.resolved,
        seconds.ready,
        datetime.now(UTC).replace(microsecond=0),
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(record))
    (FOLDER / f"{drill.slug}.json").write_bytes(text + b"\n")


def recall(drill: Drill) -> Record | None:
    """Read the file; None where the drill has not been run."""
    path = FOLDER / f"{drill.slug}.json"
    return msgspec.json.decode(path.read_bytes(), type=Record) if path.exists() else None
