"""The status page: plain HTML from a snapshot, where there is no Grafana."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.web.status_cell import (
    Cell,
    Row,
    command,
    dead_letters,
    gauge,
    lag,
    moment,
    plain,
    projection_status,
    rank,
    rank_projection,
    rebuild,
    sparkline,
    text,
    verified,
    word,
)

_NUMBER: Final = re.compile(r"\b\d+ s ")

_TONES: Final = {"pass": "ready", "warn": "warned", "fail": "failing"}
_BADGES: Final = {
    "pass": "",
    "warn": '<strong class="soon">Warning</strong> ',
    "fail": '<strong class="bad">Failing</strong> ',
}
_MARKS: Final = {"pass": "", "warn": ", with warnings", "fail": ", failing"}

REFRESH_SECONDS: Final = 5
"""For browsers without JavaScript."""


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the snapshot's rows under one key, which is also the id of its element.

    Attributes:
        rank: Sort key of the rows, ascending.
    """

    key: str
    title: str
    columns: Mapping[str, Cell]
    rank: Callable[[Row], int] = lambda _row: 0


SECTIONS: Final = (
    Section(
        "projections",
        "Projections",
        {
            "Projection": plain("name"),
            "Status": projection_status,
            "Lag": lag,
            "Last 15 minutes": sparkline,
            "Events a second": plain("events_per_second"),
            "Dead letters": dead_letters,
            "Rebuild": rebuild,
            "Verified": verified,
            "Owner": plain("owner"),
        },
        rank_projection,
    ),
    Section(
        "failures",
        "Recent failures",
        {
            "At (UTC)": moment("at"),
            "Projection": plain("projection"),
            "Stream": plain("stream"),
            "Event type": plain("event_type"),
            "Error": plain("error_type"),
            "Attempts": plain("attempts"),
            "Once it is cured": command("command"),
        },
    ),
    Section(
        "holders",
        "Transactions that hold up the projections",
        {
            "Process id": plain("pid"),
            "Application": plain("application_name"),
            "State": plain("state"),
            "Age (s)": plain("age_seconds"),
        },
    ),
    Section(
        "workers",
        "Workers",
        {
            "Worker": plain("name"),
            "State": word("state"),
            "Process id": plain("pid"),
            "Restarts": plain("restarts"),
            "Loop lag (s)": plain("loop_lag_seconds"),
        },
        rank("state"),
    ),
    Section(
        "checks",
        "Checks",
        {
            "Check": plain("name"),
            "Outcome": word("outcome"),
            "Reason": plain("reason"),
            "Critical": plain("critical"),
            "Age (s)": plain("age_seconds"),
        },
        rank("outcome"),
    ),
    Section(
        "pools",
        "Connection pools",
        {
            "Pool": plain("name"),
            "Process": plain("process"),
            "In use": gauge,
            "Idle": plain("idle"),
            "Waiting": plain("pending"),
            "Gave up": plain("timeouts"),
            "Leaks": plain("leaks"),
        },
    ),
    Section(
        "findings",
        "Configuration findings",
        {
            "Finding": plain("id"),
            "Severity": word("severity"),
            "Variable": plain("field"),
            "What it is": plain("message"),
            "What to do": plain("hint"),
        },
    ),
)


def render(snapshot: Row) -> str:
    """Return the page; keys that are missing leave their cell or section empty."""
    shown = parts(snapshot)
    body = "".join(
        f'<section id="{section.key}">{shown[section.key]}</section>' for section in SECTIONS
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<noscript><meta http-equiv="refresh" content="{REFRESH_SECONDS}"></noscript>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="status.css">'
        '<script src="status.js" defer></script>'
        f"<title>{_title(snapshot)}</title></head><body>"
        f'<header id="head">{shown["head"]}</header><main>'
        f'<div id="verdict">{shown["verdict"]}</div>'
        f'<section id="trouble">{shown["trouble"]}</section>{body}</main>'
        '<footer><p class="quiet" id="live">As of when this page was loaded.</p>'
        f'<p class="heard" id="announcement" role="status">{shown["announcement"]}</p></footer>'
        "</body></html>"
    )


def parts(snapshot: Row) -> dict[str, str]:
    """Return the changing parts of the page, as HTML by element id."""
    return {
        "head": _head(snapshot),
        "verdict": _verdict(snapshot),
        "announcement": _announce(snapshot),
        "trouble": _list_trouble(_rows(snapshot, "trouble")),
        **{section.key: _table(section, _rows(snapshot, section.key)) for section in SECTIONS},
    }


def _head(snapshot: Row) -> str:
    return (
        f'<h1 data-title="{_title(snapshot)}">{text(snapshot.get("service"))}</h1>'
        f"<p class='quiet'>sidecar "
        f"{text(snapshot.get('version'))}, {text(snapshot.get('phase'))}</p>"
    )


def _verdict(snapshot: Row) -> str:
    outcome = _outcome(snapshot)
    sentence = text(snapshot.get("verdict") or _word(snapshot).capitalize())
    return f'<p class="verdict {_TONES[outcome]}">{_BADGES[outcome]}{sentence}</p>'


def _outcome(snapshot: Row) -> str:
    """Return the worst outcome; without one, whether the service is ready."""
    outcome = snapshot.get("outcome")
    if isinstance(outcome, str) and outcome in _TONES:
        return outcome
    return "pass" if snapshot.get("ready") else "fail"


def _list_trouble(rows: Sequence[Row]) -> str:
    """List the checks that do not pass, each with its reason."""
    if not rows:
        return ""
    items = "".join(
        f"<li><strong>{plain('name')(row)}</strong> {word('outcome')(row)}: "
        f"{text(row.get('detail') or row.get('reason'))}</li>"
        for row in rows
    )
    return f"<h2>What needs a look</h2><ul>{items}</ul>"


def _announce(snapshot: Row) -> str:
    """Return the verdict for screen readers, without the numbers that change all the time."""
    verdict = snapshot.get("verdict")
    return text(_NUMBER.sub("", verdict) if isinstance(verdict, str) else _word(snapshot))


def _title(snapshot: Row) -> str:
    """Return the title, which shows the state while another tab is open."""
    return f"{text(snapshot.get('service'))}: {_word(snapshot)}{_MARKS[_outcome(snapshot)]}"


def _word(snapshot: Row) -> str:
    return "ready" if snapshot.get("ready") else "not ready"


def _table(section: Section, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col" role="columnheader">{title}</th>' for title in section.columns)
    body = "".join(_row(section, row) for row in sorted(rows, key=section.rank))
    # A part that scrolls sideways must be reachable by keyboard, and have a name.
    return (
        f"<h2>{section.title}</h2>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{section.title}">'
        f'<table role="table"><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div>'
    )


def _row(section: Section, row: Row) -> str:
    (_, name), *others = ((title, cell(row)) for title, cell in section.columns.items())
    # On a phone each row is shown as a card with the column titles; the roles keep it a table.
    cells = "".join(
        f'<td role="cell" data-label="{title}"><div>{cell}</div></td>' for title, cell in others
    )
    return f'<tr role="row"><th scope="row" role="rowheader">{name}</th>{cells}</tr>'


def _rows(snapshot: Row, key: str) -> list[Row]:
    rows = snapshot.get(key)
    if key == "holders":
        store = snapshot.get("store")
        rows = store.get("held_by") if isinstance(store, Mapping) else None
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, Sequence) else []
