"""The status page: plain HTML from a snapshot, everything in it escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

Row = Mapping[str, Any]

REFRESH_SECONDS: Final = 5
NOTHING: Final = "–"  # noqa: RUF001 - an en dash is how tables say "none"

STYLE: Final = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
.verdict { font-size: 1.2rem; padding: .6rem 1rem; border-left: .5rem solid #c62828; }
.verdict.ready { border-color: #2e7d32; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; }
td { font-variant-numeric: tabular-nums; }
code { font-size: .9em; }
"""


def render(snapshot: Row) -> str:
    """Return the page; keys that are missing leave their cell or section empty."""
    sections = "".join(
        _section(title, _rows(snapshot, key), columns) for title, key, columns in _SECTIONS
    )
    service = _text(snapshot.get("service"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{service}: {_word(snapshot)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{service}</h1><p>sidecar {_text(snapshot.get('version'))}, "
        f"{_text(snapshot.get('phase'))}</p>{_verdict(snapshot)}"
        f"{sections}{_pool(snapshot)}</body></html>"
    )


def _verdict(snapshot: Row) -> str:
    css = "verdict ready" if snapshot.get("ready") else "verdict"
    sentence = _text(snapshot.get("verdict") or _word(snapshot).capitalize())
    return f'<p class="{css}" role="status">{sentence}</p>'


def _word(snapshot: Row) -> str:
    return "ready" if snapshot.get("ready") else "not ready"


def _section(title: str, rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    body = "".join(_row(row, columns.values()) for row in rows)
    return (
        f'<h2>{title}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(row: Row, keys: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<td>{_text(_value(row, key))}</td>' for key in keys)}</tr>"


def _value(row: Row, path: str) -> object:
    value: object = row
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _pool(snapshot: Row) -> str:
    pool = snapshot.get("pool")
    if not isinstance(pool, Mapping):
        return ""
    rows = [{"name": name, "value": value} for name, value in pool.items()]
    return _section("Connection pool", rows, {"Number": "name", "Value": "value"})


def _rows(snapshot: Row, key: str) -> list[Row]:
    rows = snapshot.get(key)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, Sequence) else []


def _text(value: object) -> str:
    match value:
        case None | "":
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"  # noqa: PLR2004
        case list() | tuple():
            return escape(", ".join(map(str, value)))
        case _:
            return escape(str(value))


_SECTIONS: Final = (
    (
        "Checks",
        "checks",
        {
            "Check": "name",
            "Outcome": "outcome",
            "Reason": "reason",
            "Critical": "critical",
            "Age (s)": "age_seconds",
        },
    ),
    (
        "Projections",
        "projections",
        {
            "Projection": "name",
            "Status": "status",
            "Position": "position",
            "Lag (events)": "lag_events",
            "Lag (s)": "lag_seconds",
            "Dead letters": "dead_letters",
            "Parked streams": "parked_streams",
            "Owner": "owner",
            "Last error": "last_failure.error_type",
        },
    ),
    (
        "Workers",
        "workers",
        {
            "Worker": "name",
            "State": "state",
            "Process": "pid",
            "Restarts": "restarts",
            "Loop lag (s)": "loop_lag_seconds",
        },
    ),
    (
        "Configuration findings",
        "findings",
        {
            "Finding": "id",
            "Severity": "severity",
            "Field": "field",
            "Message": "message",
            "What to do": "hint",
        },
    ),
    (
        "Recent failures",
        "failures",
        {
            "At": "at",
            "Projection": "projection",
            "Position": "position",
            "Event type": "event_type",
            "Error": "error_type",
            "Command": "command",
        },
    ),
)
