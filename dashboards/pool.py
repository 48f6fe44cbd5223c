"""Are there enough database connections?"""

from dashboards.board import Row
from dashboards.panel import Color, Kind, Panel, Query
from dashboards.promql import quantile, rises, series

_POOL = "db_client_connection_pool_name"
_STATE = "db_client_connection_state"
_BY = ("instance", "process", _POOL)
_NAME = f"{{{{instance}}}} {{{{process}}}} {{{{{_POOL}}}}}"


def _total(metric: str, *matchers: str, by: tuple[str, ...] = _BY) -> str:
    return f"sum by ({', '.join(by)}) ({series(metric, *matchers)})"


_CONNECTIONS = "db_client_connection_count"
_MOST = _total("db_client_connection_max")
_USED = _total(_CONNECTIONS, f'{_STATE}="used"')
_WAITS = series("db_client_connection_wait_time_seconds_bucket")
_USES = series("db_client_connection_use_time_seconds_bucket")

POOL = Row(
    id=400,
    title="Pool",
    panels=(
        Panel(
            id=401,
            kind=Kind.LINES,
            title="Share of connections in use",
            about="Used connections over the most that the pool may open.",
            unit="percentunit",
            queries=(Query(f"{_USED} / {_MOST}", _NAME),),
            alert="SidecarPoolSaturated",
            limits=((0.8, Color.WARNING), (0.9, Color.BAD)),
        ),
        Panel(
            id=402,
            kind=Kind.LINES,
            title="Connections",
            about="Used and idle connections, below the most that the pool may open.",
            unit="short",
            queries=(
                Query(
                    _total(_CONNECTIONS, by=(*_BY, _STATE)),
                    f"{_NAME} {{{{{_STATE}}}}}",
                ),
                Query(_MOST, f"{_NAME} max"),
            ),
        ),
        Panel(
            id=403,
            kind=Kind.LINES,
            title="Waiting for a connection",
            about="Callers that wait now; above 0 for long, the pool is too small.",
            unit="short",
            queries=(Query(_total("db_client_connection_pending_requests"), _NAME),),
            alert="SidecarPoolSaturated",
            limits=((1, Color.WARNING),),
        ),
        Panel(
            id=404,
            kind=Kind.LINES,
            title="Time until a connection is had",
            about="How long callers wait, opening a new connection included.",
            unit="s",
            queries=(
                Query(quantile(0.95, _WAITS, *_BY), f"{_NAME} p95"),
                Query(quantile(0.99, _WAITS, *_BY), f"{_NAME} p99"),
            ),
            limits=((0.1, Color.WARNING), (0.25, Color.BAD)),
        ),
        Panel(
            id=405,
            kind=Kind.LINES,
            title="Time that a connection is held",
            about="How long callers keep a connection; a rise here fills the pool next.",
            unit="s",
            queries=(Query(quantile(0.99, _USES, *_BY), f"{_NAME} p99"),),
        ),
        Panel(
            id=406,
            kind=Kind.BARS,
            title="Callers that gave up",
            about="Callers whose time limit passed before a connection was free.",
            unit="short",
            queries=(Query(rises(series("db_client_connection_timeouts_total"), *_BY), _NAME),),
            alert="SidecarPoolSaturated",
            limits=((1, Color.BAD),),
        ),
    ),
)
