"""Reads dashboards, rules and runbooks as they are committed: every query out, with Grafana's variables filled in as Grafana would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.alert_rules import ROOT, RUNBOOKS, all_rules, code_lines

DASHBOARDS = ROOT / "infra" / "grafana" / "dashboards"
PSQL = re.compile(r'psql "\$DATABASE_URL" -c "(.*)"')


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of one panel as it is stored."""

    board: str
    panel: str
    kind: str
    """`stat`, `timeseries` and the like."""
    ref_id: str
    language: str
    """`promql` or `sql`."""
    text: str
    legend: str = ""
    exemplar: bool = False
    instant: bool = False
    """Asked for the end of the time shown alone."""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.board} / {self.panel} / {self.ref_id}"


def documents() -> dict[str, dict[str, Any]]:
    """The committed dashboards by the names of their files."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard, rows left out."""
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def queries(board: str, document: Mapping[str, Any]) -> Iterator[PanelQuery]:
    """Every query of a dashboard's panels."""
    for panel in panels(document):
        for target in panel["targets"]:
            language, text = ("sql", target["rawSql"]) if "rawSql" in target else ("promql", target["expr"])
            legend = target.get("legendFormat", "")
            flags = target.get("exemplar", False), target.get("instant", False)
            yield PanelQuery(board, panel["title"], panel["type"], target["refId"], language, text, legend, *flags)


def annotations(board: str, document: Mapping[str, Any]) -> Iterator[PanelQuery]:
    """The queries behind the marks on the time axis."""
    for found in document["annotations"]["list"]:
        yield PanelQuery(board, found["name"], "annotation", "A", "promql", found["expr"])


def variables(board: str, document: Mapping[str, Any]) -> Iterator[PanelQuery]:
    """The queries behind the choices at the top: `label_values(selector, label)` as PromQL that has a series for each choice."""
    for found in document["templating"]["list"]:
        if found["type"] == "query" and isinstance(found["query"], dict):
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", found["query"]["query"]).groups()  # type: ignore[union-attr]
            yield PanelQuery(board, found["name"], "variable", "A", "promql", f"count by ({label}) ({selector})")
        elif found["type"] == "query":
            yield PanelQuery(board, found["name"], "variable", "A", "sql", found["query"])


def of_runbooks() -> Iterator[PanelQuery]:
    """Every query that a runbook tells people to ask."""
    for page in sorted(RUNBOOKS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        asked = [("promql", line) for line in code_lines(text, "promql")]
        asked += [("sql", found[1]) for line in code_lines(text, "sh") if (found := PSQL.fullmatch(line))]
        for number, (language, query) in enumerate(asked, start=1):
            yield PanelQuery("runbooks", page.stem, "query", str(number), language, query, instant=True)


def of_rules() -> Iterator[PanelQuery]:
    """What the rules of Prometheus evaluate."""
    for rule in all_rules():
        yield PanelQuery("rules", rule.name, "query", "A", "promql", rule.body["expr"], instant=True)


def filled_in(text: str, *, rate_interval: str = "5m", span: str = "1h") -> str:
    """An expression of PromQL with every variable at All."""
    values = {"__rate_interval": rate_interval, "__interval": "15s", "__range": span, "worker": ".*", "tenant": ".*"}
    return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", lambda found: _value(values, found), text)


def _value(values: Mapping[str, str], found: re.Match[str]) -> str:
    name = found[1] or found[2]
    # $1 and ${1} are PromQL's own, for groups of a pattern.
    return found[0] if name.isdigit() else values[name]


def statement(text: str, tenants: Sequence[str], start: float, end: float, request: str = "") -> str:
    """A statement of SQL as Grafana's Postgres data source sends it; times are in seconds since 1970."""
    filled = re.sub(r"\$__timeFilter\(([\w.]+)\)", rf"\1 BETWEEN to_timestamp({start}) AND to_timestamp({end})", text)
    quoted = ", ".join("'" + tenant.replace("'", "''") + "'" for tenant in tenants)
    filled = filled.replace("${tenant:sqlstring}", quoted).replace("${request:sqlstring}", "'" + request.replace("'", "''") + "'")
    assert "$" not in filled, f"a variable that nobody fills in: {filled}"
    return filled
