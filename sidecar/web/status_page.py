"""The status page: plain HTML from a snapshot, for the machine that has no Grafana."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.web.status_cell import (
    Cell,
    Row,
    command,
    gauge,
    moment,
    plain,
    rebuild,
    sparkline,
    text,
    word,
)

_NUMBER: Final = re.compile(r"\b\d+ s ")

REFRESH_SECONDS: Final = 5
"""For browsers without JavaScript."""


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the snapshot's rows under one key; its key is its element's id, too."""

    key: str
    title: str
    columns: Mapping[str, Cell]


SECTIONS: Final = (
    Section(
        "projections",
        "Projections",
        {
            "Projection": plain("name"),
            "Status": word("status"),
            "Lag (s)": plain("lag_seconds"),
            "Last 15 minutes": sparkline,
            "Lag (events)": plain("lag_events"),
            "Events a second": plain("events_per_second"),
            "Dead letters": plain("dead_letters"),
            "Parked streams": plain("parked_streams"),
            "Rebuild": rebuild,
            "Last error": plain("last_failure.error_type"),
            "Owner": plain("owner"),
            "Detail": plain("detail"),
        },
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
        "checks",
        "Checks",
        {
            "Check": plain("name"),
            "Outcome": word("outcome"),
            "Reason": plain("reason"),
            "Critical": plain("critical"),
            "Age (s)": plain("age_seconds"),
        },
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
        f"<title>{text(snapshot.get('service'))}: {_word(snapshot)}</title></head><body>"
        f'<header id="head">{shown["head"]}</header><main>'
        f'<div id="verdict">{shown["verdict"]}</div>{body}</main>'
        '<footer><p class="quiet" id="live">As of when this page was loaded.</p>'
        f'<p class="heard" id="announcement" role="status">{shown["announcement"]}</p></footer>'
        "</body></html>"
    )


def parts(snapshot: Row) -> dict[str, str]:
    """Return what changes on the page, as HTML by the id of its element."""
    return {
        "head": _head(snapshot),
        "verdict": _verdict(snapshot),
        "announcement": _announce(snapshot),
        **{section.key: _table(section, _rows(snapshot, section.key)) for section in SECTIONS},
    }


def _head(snapshot: Row) -> str:
    return (
        f"<h1>{text(snapshot.get('service'))}</h1><p class='quiet'>sidecar "
        f"{text(snapshot.get('version'))}, {text(snapshot.get('phase'))}</p>"
    )


def _verdict(snapshot: Row) -> str:
    css = "verdict ready" if snapshot.get("ready") else "verdict"
    sentence = text(snapshot.get("verdict") or _word(snapshot).capitalize())
    return f'<p class="{css}">{sentence}</p>'


def _announce(snapshot: Row) -> str:
    """Return the verdict for screen readers, which would read each new number aloud."""
    verdict = snapshot.get("verdict")
    return text(_NUMBER.sub("", verdict) if isinstance(verdict, str) else _word(snapshot))


def _word(snapshot: Row) -> str:
    return "ready" if snapshot.get("ready") else "not ready"


def _table(section: Section, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{title}</th>' for title in section.columns)
    body = "".join(_row(section, row) for row in rows)
    # What scrolls sideways on a phone must be reachable by keyboard, and have a name.
    return (
        f"<h2>{section.title}</h2>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{section.title}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(section: Section, row: Row) -> str:
    name, *others = (cell(row) for cell in section.columns.values())
    cells = "".join(f"<td>{cell}</td>" for cell in others)
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'


def _rows(snapshot: Row, key: str) -> list[Row]:
    rows = snapshot.get(key)
    if key == "holders":
        store = snapshot.get("store")
        rows = store.get("held_by") if isinstance(store, Mapping) else None
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, Sequence) else []
