"""What goes wrong with a secret that is mounted as a file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.incidents.drills.drill import Drill, Log, Metric, Sentence, Signals
from tests.incidents.drills.stand import Plan, Stand

NAME: Final = "GEMINI_API_KEY"
OLD: Final = "AIzaSyD-9tQ4vLx2Wm8Rb7Zc5Kp1Hn6Jf3Ys0Tg"
NEW: Final = "AIzaSyB-7mX2qWv9Lr4TzNc8YdKf1GsJp6Eu0Ah"


@asynccontextmanager
async def mounted(stand: Stand) -> AsyncIterator[None]:
    mount(stand, OLD)
    stand.secrets.extend((OLD, NEW))
    stand.variables[f"{NAME}_FILE"] = str(path_of(stand))
    yield


def path_of(stand: Stand) -> Path:
    return stand.folder / "gemini-key"


def mount(stand: Stand, value: str) -> None:
    """Replace the file as a mount does: the old one or the new one is there, never half of it."""
    fresh = path_of(stand).with_suffix(".new")
    fresh.write_text(f"{value}\n")
    fresh.rename(path_of(stand))


@asynccontextmanager
async def rotated(stand: Stand) -> AsyncIterator[None]:
    mount(stand, NEW)
    yield
    changes = (await stand.program.get("/config-report")).json()["changes"]
    assert [(one["field"], one["kind"]) for one in changes] == [(NAME, "rotated")]
    await stand.restart_program()


DRILLS: Final = (
    Drill(
        name="rotated secret file",
        injected=f"the file of {NAME}_FILE is replaced; cured by a restart, which reads it",
        fault=rotated,
        signals=Signals(
            # It works on with what it has: a line for whoever rotated it, not a call at night.
            alert=None,
            check=None,
            metric=Metric('sidecar_config_findings{id="ENV09"} == 1', within_seconds=15.0),
            log=Log("sidecar.configuration.found", {"finding": "ENV09", "field": NAME}),
            letter=None,
            sentence=Sentence(rf"ENV09 .*{NAME} was rotated"),
        ),
        quiet=("sidecar_ready == 0",),
        after=('sidecar_ready == 1 unless on () sidecar_config_findings{id="ENV09"} > 0',),
        plan=Plan(prepare=mounted),
        lasts_seconds=0.0,
        answers=False,
    ),
)
