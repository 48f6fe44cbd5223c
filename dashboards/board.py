"""A dashboard around its rows: variables, links, annotations, places on the grid."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from dashboards.annotation import annotations
from dashboards.panel import SOURCE, Panel, draw
from dashboards.promql import SERVICE, series


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one headline; `id` shares the panels' number space."""

    id: int
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; `uid` is its address and the name of its file."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]


def assemble(board: Board) -> model.Dashboard:
    """Build the whole dashboard; the same input gives the same output, to the byte."""
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["sidecar"])
        .readonly()
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .link(_siblings())
    )
    for annotation in annotations():
        builder.annotation(annotation)
    for variable in _variables():
        builder.with_variable(variable)
    for row in board.rows:
        builder.with_row(dashboard.Row(row.title).id(row.id))
        for panel in row.panels:
            builder.with_panel(draw(panel, board.uid))
    return builder.build()


def _variables() -> Sequence[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    pools = series("db_client_connection_max")
    return (
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        dashboard.DatasourceVariable("traces").label("Traces").type("tempo"),
        *_narrowing(),
        _choice("projection", f"label_values({series('sidecar_projection_status')}, projection)"),
        _choice("pool", f"label_values({pools}, db_client_connection_pool_name)"),
    )


def _narrowing() -> Iterator[dashboard.QueryVariable]:
    """Let each choice narrow those after it; only what no scrape need add may be absent."""
    chosen: list[str] = []
    for name in (*SERVICE, "job", "instance"):
        query = f"label_values(sidecar_build_info{{{', '.join(chosen)}}}, {name})"
        yield _choice(name, query.replace("{}", ""), all_value=".*" if name in SERVICE else ".+")
        chosen.append(f'{name}=~"${name}"')


def _choice(name: str, query: str, all_value: str = ".+") -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(all_value)
    )


def _siblings() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Sidecar").type(model.DashboardLinkType.DASHBOARDS)
    return (
        link.tags(["sidecar"])
        .as_dropdown(as_dropdown=True)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )
