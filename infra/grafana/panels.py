"""Makes panels from a few words each: title, unit, what a bad value means, queries in; a panel of Grafana's SDK out; used by the boards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import stat as build_stat
from grafana_foundation_sdk.builders import statetimeline as build_timeline
from grafana_foundation_sdk.builders import table as build_table
from grafana_foundation_sdk.builders import timeseries as build_series
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard

from infra.grafana.queries import POSTGRES, PROMETHEUS, Query, SqlTarget

STAT_HEIGHT = 4
HEIGHT = 8
Colour = Literal["green", "yellow", "orange", "red", "blue", "text"]
Steps = Sequence[tuple[float | None, Colour]]
"""From which value on which colour; the first has no value."""
PLAIN: Steps = ((None, "blue"),)
Names = Mapping[float, tuple[str, Colour]]
"""What single values are called and how they are coloured."""


class Described(Protocol):
    """What the panel builders of the SDK have in common, as far as it is used here."""

    def title(self, title: str) -> object: ...
    def description(self, description: str) -> object: ...
    def span(self, w: int) -> object: ...
    def height(self, h: int) -> object: ...
    def links(self, links: list[Builder[dashboard.DashboardLink]]) -> object: ...


P = TypeVar("P", bound=Described)
Panels = Sequence[Builder[dashboard.Panel]]


def above(bad: float, worst: float | None = None) -> Steps:
    """Green below `bad`; from `worst` on it is red, between them yellow. Without `worst` it is red from `bad` on."""
    return ((None, "green"), (bad, "red")) if worst is None else ((None, "green"), (bad, "yellow"), (worst, "red"))


def below(worst: float, bad: float) -> Steps:
    """Red below `worst`, yellow below `bad`, else green."""
    return ((None, "red"), (worst, "yellow"), (bad, "green"))


def stat(
    title: str,
    unit: str,
    description: str,
    expr: str,
    steps: Steps = PLAIN,
    *,
    runbook: str | None = None,
    more: str | None = None,
    span: int = 3,
    decimals: float | None = None,
    names: Names | None = None,
    spark: bool = True,
) -> build_stat.Panel:
    """One number with the colour of its state, over its own course; `more` is the uid of the dashboard that tells more."""
    panel = _described(build_stat.Panel(), title, description, span, STAT_HEIGHT, runbook, more)
    panel.datasource(PROMETHEUS).unit(unit).thresholds(_thresholds(steps)).targets([Query(expr).target("A", instant=not spark)])
    panel.reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    panel.graph_mode(common.BigValueGraphMode.AREA if spark else common.BigValueGraphMode.NONE)
    panel.color_mode(common.BigValueColorMode.BACKGROUND if len(steps) > 1 else common.BigValueColorMode.VALUE)
    panel.justify_mode(common.BigValueJustifyMode.AUTO).text_mode(common.BigValueTextMode.AUTO)
    panel.orientation(common.VizOrientation.AUTO)
    panel.color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    if decimals is not None:
        panel.decimals(decimals)
    if names is not None:
        panel.mappings([_mapping(names)])
    return panel


def series(
    title: str,
    unit: str,
    description: str,
    queries: Sequence[Query],
    *,
    steps: Steps | None = None,
    runbook: str | None = None,
    more: str | None = None,
    span: int = 8,
    stacked: bool = False,
    whole: bool = False,
) -> build_series.Panel:
    """Lines over time from 0 up; `steps` draws the limits as dashed lines, `stacked` adds the series up, `whole` allows no fractions."""
    panel = _described(build_series.Panel(), title, description, span, HEIGHT, runbook, more)
    panel.datasource(PROMETHEUS).unit(unit).min(0)
    panel.targets([query.target(chr(ord("A") + index)) for index, query in enumerate(queries)])
    legend = build_common.VizLegendOptions().display_mode(common.LegendDisplayMode.TABLE).placement(common.LegendPlacement.BOTTOM)
    panel.legend(legend.show_legend(True).calcs(["lastNotNull", "max"]))
    panel.tooltip(build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    panel.draw_style(common.GraphDrawStyle.LINE).line_width(1).fill_opacity(40 if stacked else 10)
    panel.show_points(common.VisibilityMode.NEVER).span_nulls(False)
    panel.color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC))
    mode = common.StackingMode.NORMAL if stacked else common.StackingMode.NONE
    panel.stacking(build_common.StackingConfig().mode(mode).group("A"))
    if steps is not None:
        panel.thresholds(_thresholds(steps))
        panel.thresholds_style(build_common.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED))
    if whole:
        panel.decimals(0)
    return panel


def states(
    title: str, description: str, query: Query, names: Names, *, runbook: str | None = None, more: str | None = None, span: int = 12
) -> build_timeline.Panel:
    """Bars of states over time, one a series, coloured by the names of their values."""
    panel = _described(build_timeline.Panel(), title, description, span, HEIGHT, runbook, more)
    panel.datasource(PROMETHEUS).unit("none").targets([query.target("A")]).mappings([_mapping(names)])
    panel.thresholds(_thresholds([(None, "text")])).color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    panel.show_value(common.VisibilityMode.NEVER).row_height(0.8).merge_values(True).fill_opacity(80).line_width(0)
    legend = build_common.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)
    panel.legend(legend.show_legend(True).calcs([]))
    panel.tooltip(build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE).sort(common.SortOrder.NONE))
    return panel


def rows(
    title: str, description: str, sql: str, units: Mapping[str, str] | None = None, *, runbook: str | None = None, span: int = 12
) -> build_table.Panel:
    """A table of what a statement answers, read as the observer; `units` gives columns their units."""
    panel = _described(build_table.Panel(), title, description, span, HEIGHT, runbook, None)
    panel.datasource(POSTGRES).unit("none").targets([SqlTarget("A", sql)]).show_header(True)
    panel.cell_height(common.TableCellHeight.SM)
    panel.no_value("nothing")
    for column, unit in (units or {}).items():
        panel.override_by_name(column, [dashboard.DynamicConfigValue("unit", unit)])
    return panel


def _described(panel: P, title: str, description: str, span: int, height: int, runbook: str | None, more: str | None) -> P:
    panel.title(title)
    panel.description(description)
    panel.span(span)
    panel.height(height)
    links: list[Builder[dashboard.DashboardLink]] = []
    if runbook is not None:
        links.append(_link("Runbook", f"${{runbooks}}/{runbook}.md", "doc", f"docs/runbooks/{runbook}.md"))
    if more is not None:
        links.append(_link("More", f"/d/{more}", "dashboard", "The dashboard that tells more"))
    if links:
        panel.links(links)
    return panel


def _link(title: str, url: str, icon: str, tooltip: str) -> build.DashboardLink:
    link = build.DashboardLink(title).type(dashboard.DashboardLinkType.LINK).url(url).icon(icon).tooltip(tooltip).tags([])
    here = url.startswith("/")
    return link.target_blank(not here).keep_time(here).include_vars(here).as_dropdown(False)


def _thresholds(steps: Steps) -> build.ThresholdsConfig:
    made = [dashboard.Threshold(value=value, color=colour) for value, colour in steps]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made)


def _mapping(names: Names) -> dashboard.ValueMap:
    found = {f"{value:g}": dashboard.ValueMappingResult(text=text, color=colour) for value, (text, colour) in names.items()}
    return dashboard.ValueMap(found)
