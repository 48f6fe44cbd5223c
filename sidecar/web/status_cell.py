"""The cells of the status page's tables; every value is escaped here."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import groupby
from math import isfinite
from typing import Any, Final

Row = Mapping[str, Any]
Cell = Callable[[Row], str]

NOTHING: Final = "–"  # noqa: RUF001 - an en dash is how tables say "none"
SPARK_WIDTH: Final = 180
SPARK_HEIGHT: Final = 24
# Lags below a second are noise, which a smaller scale would magnify.
SPARK_LEAST_SECONDS: Final = 1.0
NEARLY_FULL_RATIO: Final = 0.8

_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)")
_TONES: Final = {
    **dict.fromkeys(("pass", "running", "caught_up"), "good"),
    **dict.fromkeys(("warn", "warning", "silent", "halted"), "soon"),
    **dict.fromkeys(("fail", "failed", "stalled", "unowned", "error", "refuse"), "bad"),
    **dict.fromkeys(("waiting", "stopped"), "bad"),
    **dict.fromkeys(("paused", "unknown", "info", "starting"), "calm"),
}


# Rows that need a person come first; words without a tone are in between.
_RANKS: Final = {"bad": 0, "soon": 1, "calm": 2, "good": 4}
_PLAIN_RANK: Final = 3


def rank(path: str) -> Callable[[Row], int]:
    """Return a sort key: the tone of the word at the path, the worst first."""
    return lambda row: _RANKS.get(_tone(_find(row, path)), _PLAIN_RANK)


def rank_projection(row: Row) -> int:
    """Return a sort key that puts projections with dead letters before healthy ones."""
    return min(rank("status")(row), 1 if number(row.get("dead_letters")) else _PLAIN_RANK)


def text(value: object) -> str:
    """Return the value as text for people."""
    match value:
        case None | "":
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"  # noqa: PLR2004 - digits enough
        case list() | tuple():
            return escape(", ".join(map(str, value)))
        case _:
            return escape(str(value))


def plain(path: str) -> Cell:
    """Show the value at the path, whose keys are joined by dots."""
    return lambda row: text(_find(row, path))


def word(path: str) -> Cell:
    """Show a state in its tone; the word alone says as much as the colour."""
    return lambda row: _toned(_tone(_find(row, path)), plain(path)(row))


def projection_status(row: Row) -> str:
    """Show the status of a projection and its cause; with open dead letters it is not green."""
    status = row.get("status")
    tone, shown = _tone(status), text(status)
    if number(row.get("dead_letters")) and tone in {"good", ""}:
        tone, shown = "soon", f"{shown}, but with dead letters"
    detail = row.get("detail")
    note = f'<div class="note">{text(detail)}</div>' if detail else ""
    return _toned(tone, shown) + note


def lag(row: Row) -> str:
    """Show how far behind a projection is, in seconds and in events."""
    return f"{text(row.get('lag_seconds'))} s, {text(row.get('lag_events'))} events"


def dead_letters(row: Row) -> str:
    """Show open dead letters, how many streams they park, and the last error."""
    parked = row.get("parked_streams")
    shown = text(row.get("dead_letters")) + (f", {text(parked)} parked" if number(parked) else "")
    last = _find(row, "last_failure.error_type")
    return f'{shown}<div class="note">{text(last)}</div>' if last else shown


def command(path: str) -> Cell:
    """Show what to type."""
    return lambda row: f"<code>{plain(path)(row)}</code>" if _find(row, path) else NOTHING


def moment(path: str) -> Cell:
    """Show an ISO time to the second, without its time zone."""

    def show(row: Row) -> str:
        value = _find(row, path)
        found = _ISO.match(value) if isinstance(value, str) else None
        return f"{found[1]} {found[2]}" if found else text(value)

    return show


def rebuild(row: Row) -> str:
    """Show the state and progress of a rebuild; a dash without one."""
    done = number(row.get("progress"))
    if done is None:
        return NOTHING
    return f"{word('rebuild')(row)}, {done:.0%}"


def verified(row: Row) -> str:
    """Show when a read model was compared with a replay, toned where it is wrong."""
    return _toned("bad" if number(row.get("drift_rows")) else "", plain("verified")(row))


def gauge(row: Row) -> str:
    """Show how full a pool is."""
    used, most = number(row.get("used")), number(row.get("max"))
    if used is None or not most:
        return NOTHING
    label = f"{used:g} of {most:g} connections in use"
    return (
        f'<meter min="0" max="{most:g}" high="{most * NEARLY_FULL_RATIO:g}" optimum="0" '
        f'value="{used:g}" aria-label="{label}"></meter> {used:g} of {most:g}'
    )


def sparkline(row: Row) -> str:
    """Draw a projection's lag of the last 15 minutes, with gaps where it is unknown."""
    given = row.get("lag_history")
    lags = [number(one) for one in given] if isinstance(given, Sequence) else []
    known = [lag for lag in lags if lag is not None]
    if len(known) < 2:  # noqa: PLR2004 - a line needs two points
        return NOTHING
    highest = max(known)
    label = f"Lag of the last 15 minutes: {text(known[-1])} s now, {text(highest)} s at most"
    return (
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" role="img" '
        f'preserveAspectRatio="none" aria-label="{label}">{_lines(lags, highest)}</svg>'
    )


def number(value: object) -> float | None:
    """Return a finite number at or above 0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return max(float(value), 0.0)


def _lines(lags: Sequence[float | None], highest: float) -> str:
    scale = (SPARK_HEIGHT - 2) / max(highest, SPARK_LEAST_SECONDS)
    first = SPARK_WIDTH - len(lags)
    points = [
        None if lag is None else f"{first + step},{SPARK_HEIGHT - 1 - lag * scale:.1f}"
        for step, lag in enumerate(lags)
    ]
    pieces = (piece for seen, piece in groupby(points, key=lambda one: one is not None) if seen)
    return "".join(f'<polyline points="{" ".join(map(str, piece))}"/>' for piece in pieces)


def _tone(value: object) -> str:
    return _TONES.get(value, "") if isinstance(value, str) else ""


def _toned(tone: str, shown: str) -> str:
    return f'<span class="{tone}">{shown}</span>' if tone else shown


def _find(row: Row, path: str) -> object:
    value: object = row
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
