"""Are there enough database connections?"""

from dashboards import thresholds
from dashboards.board import Row
from dashboards.panel import Color, Kind, Panel, Query
from dashboards.promql import fold, highest, of_pool, per_second, quantile, rises, series

_POOL = "db_client_connection_pool_name"
_STATE = "db_client_connection_state"
_BY = ("instance", "process", _POOL)
_NAME = f"{{{{instance}}}} {{{{process}}}} {{{{{_POOL}}}}}"


def _total(metric: str, *matchers: str, by: tuple[str, ...] = _BY) -> str:
    return fold("sum", of_pool(metric, *matchers), *by)


_CONNECTIONS = "db_client_connection_count"
_MOST = _total("db_client_connection_max")
_USED = _total(_CONNECTIONS, f'{_STATE}="used"')
_WAITS = of_pool("db_client_connection_wait_time_seconds_bucket")
_CREATES = of_pool("db_client_connection_create_time_seconds_bucket")
_USES = of_pool("db_client_connection_use_time_seconds_bucket")

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
            limits=(
                (thresholds.POOL_USED_SOON_RATIO, Color.WARNING),
                (thresholds.POOL_USED_RATIO, Color.BAD),
            ),
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
            alerts=("SidecarPoolSaturated",),
        ),
        Panel(
            id=403,
            kind=Kind.LINES,
            title="Waiting for a connection",
            about="Callers that wait now; above 0 for long, the pool is too small.",
            unit="short",
            queries=(Query(_total("db_client_connection_pending_requests"), _NAME),),
            alerts=("SidecarPoolSaturated",),
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
            limits=(
                (thresholds.POOL_WAIT_SOON_SECONDS, Color.WARNING),
                (thresholds.POOL_WAIT_SECONDS, Color.BAD),
            ),
        ),
        Panel(
            id=405,
            kind=Kind.LINES,
            title="Time that a connection is held",
            about="How long callers keep a connection; a rise here fills the pool next.",
            unit="s",
            queries=(Query(quantile(0.99, _USES, *_BY), f"{_NAME} p99"),),
            alerts=("SidecarPoolLeaking",),
        ),
        Panel(
            id=406,
            kind=Kind.BARS,
            title="Callers that gave up",
            about="Callers whose time limit passed before a connection was free.",
            unit="short",
            queries=(Query(rises(of_pool("db_client_connection_timeouts_total"), *_BY), _NAME),),
            limits=((1, Color.BAD),),
        ),
        Panel(
            id=407,
            kind=Kind.LINES,
            title="Time to open a connection",
            about="How long opening a connection takes, and how many are opened and closed.",
            unit="s",
            queries=(Query(quantile(0.99, _CREATES, *_BY), f"{_NAME} p99"),),
            alerts=("SidecarPoolWaitHigh",),
        ),
        Panel(
            id=408,
            kind=Kind.LINES,
            title="Connections kept too long",
            about="Connections that somebody holds for longer than the pool's limit.",
            unit="short",
            queries=(Query(_total("sidecar_pool_leaks"), _NAME),),
            limits=((1, Color.WARNING),),
        ),
        Panel(
            id=409,
            kind=Kind.LINES,
            title="Longest wait now",
            about="How long the caller that has waited longest has waited by now.",
            unit="s",
            queries=(Query(_total("sidecar_pool_wait_oldest_seconds"), _NAME),),
            alerts=("SidecarPoolTimeouts",),
            limits=((1, Color.WARNING),),
        ),
        Panel(
            id=410,
            kind=Kind.LINES,
            title="Connections closed",
            about="Connections closed in a second, by whichever side. Churn makes callers wait.",
            unit="ops",
            queries=(Query(per_second(of_pool("sidecar_pool_closed_total"), *_BY), _NAME),),
            alerts=("SidecarPoolWaitHigh",),
        ),
        Panel(
            id=411,
            kind=Kind.STACK,
            title="Sessions at the server",
            about="Sessions that PostgreSQL counts, metered pools or not, by client and state.",
            unit="short",
            queries=(
                Query(
                    highest(series("sidecar_server_connections"), "application_name", "state"),
                    "{{application_name}} {{state}}",
                ),
            ),
            alerts=("SidecarPoolSaturated",),
            width=16,
        ),
    ),
)
