"""A panel as a value, and its drawing with Grafana's builders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.rules import find_alerts

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
# What a scrape did not add is empty, and takes no room.
_WHOSE = "{{cluster}} {{namespace}} {{service}}"

Builder: TypeAlias = stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel


class Color(StrEnum):
    """The only colours that carry a meaning here."""

    GOOD = "green"
    BUSY = "blue"
    WARNING = "orange"
    BAD = "red"
    UNKNOWN = "purple"


class Kind(StrEnum):
    """How a panel shows its numbers."""

    LINES = "lines"
    STACK = "stack"
    BARS = "bars"
    NUMBER = "number"
    STATES = "states"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class State:
    """A number that stands for a word."""

    code: int
    word: str
    color: Color


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and what the legend of each of its series says beside the service."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """Where a click on a value leads; the URL may hold Grafana's `${...}`."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Panel:
    """What one panel asks and how it answers.

    Attributes:
        id: Unique in the dashboard and never given anew: alerts link to it.
        about: What the numbers mean and when they are bad; the first part of the description.
        unit: Grafana's id of the unit.
        alerts: Those whose runbook reads it, beside those whose rules lead to it.
        limits: Colours from a value on, ascending; below the first the panel is green.
        width: In Grafana's grid of 24 columns.
        top: Up to where the axis goes even where no value does, so that a limit is seen.
    """

    id: int
    kind: Kind
    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    alerts: tuple[str, ...] = ()
    limits: tuple[tuple[float, Color], ...] = ()
    states: tuple[State, ...] = ()
    links: tuple[Link, ...] = ()
    width: int = 8
    top: float | None = None

    def describe(self, board: str) -> str:
        """Give the text behind the panel's (i) on a board."""
        alerts = (*find_alerts(board, self.id), *self.alerts)
        named = (f"Alert: {one}. Runbook: dashboards/runbooks/{one}.md" for one in alerts)
        return "\n\n".join((self.about, *named))


def draw(panel: Panel, board: str) -> Builder:
    """Build the panel of a board with everything that is the same for every kind."""
    builder = _DRAWINGS[panel.kind](panel)
    builder.id(panel.id).title(panel.title).description(panel.describe(board))
    builder.datasource(SOURCE).unit(panel.unit).thresholds(_thresholds(panel.limits))
    builder.height(HEIGHT).span(panel.width)
    if panel.links:
        builder.data_links([_link(link) for link in panel.links])
    for number, query in enumerate(panel.queries):
        builder.with_target(_target(query, chr(ord("A") + number), panel.kind))
    return builder


def _target(query: Query, ref_id: str, kind: Kind) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(SOURCE).ref_id(ref_id)
    target.expr(query.expr).legend_format(f"{_WHOSE} {query.legend}".strip())
    if kind is Kind.ROWS:
        return target.instant().format(PromQueryFormat.TABLE)
    return target.instant() if kind is Kind.NUMBER else target.range()


def _link(link: Link) -> dashboard.DashboardLink:
    built = dashboard.DashboardLink(link.title).type(model.DashboardLinkType.LINK).url(link.url)
    return built.target_blank(target_blank=True)


def _thresholds(limits: Sequence[tuple[float, Color]]) -> dashboard.ThresholdsConfig:
    steps = [model.Threshold(value=None, color=Color.GOOD)]
    steps += [model.Threshold(value=value, color=color) for value, color in limits]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _lines(panel: Panel) -> timeseries.Panel:
    builder = timeseries.Panel().min(0).fill_opacity(10)
    builder.show_points(looks.VisibilityMode.NEVER).span_nulls(span_nulls=False)
    builder.legend(
        common.VizLegendOptions()
        .display_mode(looks.LegendDisplayMode.LIST)
        .placement(looks.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    builder.tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI))
    if panel.top is not None:
        builder.axis_soft_max(panel.top)
    if panel.limits:
        builder.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.LINE)
        )
    return builder


def _stack(panel: Panel) -> timeseries.Panel:
    return _lines(panel).stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))


def _bars(panel: Panel) -> timeseries.Panel:
    return _stack(panel).draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80)


def _number(panel: Panel) -> stat.Panel:
    latest = common.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().reduce_options(latest).mappings(_mappings(panel.states))


def _states(panel: Panel) -> statetimeline.Panel:
    builder = statetimeline.Panel().mappings(_mappings(panel.states))
    return builder.merge_values(merge_values=True).show_value(looks.VisibilityMode.AUTO)


def _rows(_panel: Panel) -> table.Panel:
    hidden = dict.fromkeys(("Time", "__name__"), True)
    organize = model.DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})
    return table.Panel().with_transformation(organize).no_value("None")


def _mappings(states: Sequence[State]) -> list[model.ValueMapping]:
    if not states:
        return []
    options = {
        str(state.code): model.ValueMappingResult(
            text=state.word, color=state.color, index=state.code
        )
        for state in states
    }
    return [model.ValueMap(options=options)]


_DRAWINGS: Mapping[Kind, Callable[[Panel], Builder]] = {
    Kind.LINES: _lines,
    Kind.STACK: _stack,
    Kind.BARS: _bars,
    Kind.NUMBER: _number,
    Kind.STATES: _states,
    Kind.ROWS: _rows,
}
