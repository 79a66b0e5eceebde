"""Puts panels together to a dashboard: rows of panels in, the document that Grafana reads out; used by the boards."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from infra.grafana.panels import Panels
from infra.grafana.queries import POSTGRES, POSTGRES_TYPE, PROMETHEUS

TAG = "agentmesh"
REFRESH = "30s"
SCHEMA_VERSION = 39
Variable = Callable[[], dashboard.VariableModel]
RUNBOOKS = "docs/runbooks"
TENANTS = "SELECT DISTINCT tenant_id FROM read_analytics.requests ORDER BY 1"
RESTARTS = 'time() - max by (worker) (process_start_time_seconds{job="agentmesh"}) < 60'
REBALANCES = "sum by (group) (increase(agentmesh_rebalances_total[2m])) > 0"
TITLES = {"Restarts": "{{worker}} started", "Rebalances": "{{group}} rebalanced"}
# What the SDK writes for the Grafana that it was made for, and today's Grafana does not know.
FORGOTTEN = ("style", "gnetId", "revision", "snapshot")
FORGOTTEN_OF_VARIABLES = ("id", "allFormat", "auto", "auto_min", "auto_count")
FORGOTTEN_OF_PICKER = ("collapse", "enable", "time_options")
# What today's Grafana wants of a panel and the SDK does not know, by the panel's type.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "stat": {"percentChangeColorMode": "standard", "showPercentChange": False, "wideLayout": True},
}
CUSTOM: Mapping[str, Mapping[str, Any]] = {"table": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}}


@dataclass(frozen=True)
class Row:
    """A titled row of panels."""

    title: str
    panels: Panels


@dataclass(frozen=True)
class Board:
    """One dashboard. `uid` never changes: links and bookmarks hold it."""

    uid: str
    title: str
    description: str
    rows: Callable[[], Sequence[Row]]
    variables: Sequence[Variable] = ()
    uses_sql: bool = False

    def document(self, runbooks_url: str = RUNBOOKS) -> dict[str, Any]:
        """The dashboard as Grafana stores it, without an id: Grafana gives one. Links to runbooks begin with `runbooks_url`."""
        made = build.Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG]).readonly()
        made.timezone("browser").tooltip(dashboard.DashboardCursorSync.CROSSHAIR).time("now-1h", "now").refresh(REFRESH)
        made.timepicker(build.TimePicker().refresh_intervals(["10s", "30s", "1m", "5m", "15m", "1h"]))
        made.link(_others())
        for variable in (datasource, *((postgres,) if self.uses_sql else ()), *self.variables):
            made.with_variable(_Built(variable()))
        made.with_variable(_Built(runbooks(runbooks_url)))
        made.annotation(_annotation("Restarts", RESTARTS, "orange"))
        made.annotation(_annotation("Rebalances", REBALANCES, "purple"))
        number = 0
        for row in self.rows():
            number += 1
            made.with_row(build.Row(row.title).id(number).collapsed(False))
            for panel in row.panels:
                number += 1
                panel.build().id_val = number
                made.with_panel(panel)
        return _today(json.loads(json.dumps(made.build(), cls=JSONEncoder)))

    def text(self, runbooks_url: str = RUNBOOKS) -> str:
        """The file's text."""
        return json.dumps(self.document(runbooks_url), indent=2, sort_keys=True) + "\n"


def datasource() -> dashboard.VariableModel:
    """Which Prometheus is asked."""
    return _source("datasource", "Prometheus", "prometheus")


def postgres() -> dashboard.VariableModel:
    """Which Postgres is asked, as the observer."""
    return _source("postgres", "Postgres", POSTGRES_TYPE)


def runbooks(url: str) -> dashboard.VariableModel:
    """Where people read the runbooks; nobody chooses it."""
    hidden = dashboard.VariableHide.HIDE_VARIABLE
    return dashboard.VariableModel(type_val=dashboard.VariableType.CONSTANT, name="runbooks", query=url, hide=hidden)


def worker() -> dashboard.VariableModel:
    """Workers by the names that the fleet gives them; all of them at first."""
    query = 'label_values(up{job="agentmesh"}, worker)'
    return _chosen("worker", "Worker", {"query": query, "refId": "worker"}, PROMETHEUS)


def tenant() -> dashboard.VariableModel:
    """Tenants that ever had a request; all of them at first."""
    return _chosen("tenant", "Tenant", TENANTS, POSTGRES)


def request() -> dashboard.VariableModel:
    """The id of one request, typed or pasted; the newest where it is empty."""
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.TEXTBOX, name="request", label="Request id", query="", description="Empty: the newest request"
    )


class _Built(Builder[dashboard.VariableModel]):
    """A variable that is there already, where the SDK's builder lacks what the model has."""

    def __init__(self, model: dashboard.VariableModel) -> None:
        self._model = model

    def build(self) -> dashboard.VariableModel:
        """The variable."""
        return self._model


def _source(name: str, label: str, kind: str) -> dashboard.VariableModel:
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.DATASOURCE, name=name, label=label, query=kind, regex="", refresh=dashboard.VariableRefresh(1)
    )


def _chosen(name: str, label: str, query: str | dict[str, object], source: dashboard.DataSourceRef) -> dashboard.VariableModel:
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.QUERY,
        name=name,
        label=label,
        query=query,
        datasource=source,
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_ASC,
        multi=True,
        include_all=True,
        current=dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]),
    )


def _others() -> build.DashboardLink:
    link = build.DashboardLink("AgentMesh").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
    return link.icon("external link").tooltip("The other dashboards").keep_time(True).include_vars(True).target_blank(False).url("")


def _annotation(name: str, expr: str, colour: str) -> Builder[dashboard.AnnotationQuery]:
    return build.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).icon_color(colour).expr(expr)


def _today(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what Grafana has forgotten since, and say what the SDK cannot."""
    for name in FORGOTTEN:
        document.pop(name, None)
    for variable in document["templating"]["list"]:
        for name in FORGOTTEN_OF_VARIABLES:
            variable.pop(name, None)
    for annotation in document["annotations"]["list"]:
        annotation["titleFormat"] = TITLES[annotation["name"]]
    for name in FORGOTTEN_OF_PICKER:
        document["timepicker"].pop(name, None)
    for panel in document["panels"]:
        panel.get("options", {}).pop("footer", None)
        if panel["type"] in OPTIONS:
            panel["options"] |= OPTIONS[panel["type"]]
        if panel["type"] in CUSTOM:
            panel["fieldConfig"]["defaults"].setdefault("custom", {}).update(CUSTOM[panel["type"]])
    document["id"] = None
    document["schemaVersion"] = SCHEMA_VERSION
    return document
