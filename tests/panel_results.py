"""Asks a real Prometheus and a real Postgres every query of every panel, and judges the answers: errors and empty answers are faults."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from tests.panel_queries import PanelQuery, filled_in, statement
from tests.prometheus_server import PrometheusServer, QueryError, Series


@dataclass(slots=True)
class Result:
    """What one query of one panel answered."""

    query: PanelQuery
    error: str = ""
    series: list[Series] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """No row, or no series with a number in it: a panel would say that it has no data."""
        return not self.error and not self.rows and not any(math.isfinite(value) for each in self.series for _, value in each.points)


@dataclass(frozen=True, slots=True)
class Shown:
    """The time that a dashboard shows (Unix seconds), and the windows that Grafana would choose."""

    start: float
    end: float
    rate_interval: str
    step: float = 1.0

    @property
    def span(self) -> str:
        """The time shown, as a range of PromQL."""
        return f"{max(1, round(self.end - self.start))}s"


class Judge:
    """Asks both servers."""

    def __init__(self, server: PrometheusServer, postgres: psycopg.Connection[Any], tenants: Sequence[str], shown: Shown) -> None:
        self._server = server
        self._postgres = postgres
        self._tenants = tenants
        self._shown = shown

    def ask(self, query: PanelQuery) -> Result:
        """The answer to one query, as Grafana would ask it."""
        result = Result(query)
        try:
            if query.language == "sql":
                self._ask_postgres(result)
            else:
                self._ask_prometheus(result)
        except (QueryError, psycopg.Error) as error:
            result.error = str(error).strip()
        return result

    def traced(self, query: PanelQuery) -> bool:
        """Whether a query's answers lead to traces: its series carry exemplars with a trace's id."""
        expression = filled_in(query.text, rate_interval=self._shown.rate_interval, span=self._shown.span)
        found = self._server.exemplars(expression, self._shown.start, self._shown.end)
        return any("trace_id" in exemplar["labels"] for each in found for exemplar in each["exemplars"])

    def _ask_prometheus(self, result: Result) -> None:
        shown = self._shown
        expression = filled_in(result.query.text, rate_interval=shown.rate_interval, span=shown.span)
        if result.query.instant:
            result.series = self._server.query(expression, shown.end)
        else:
            result.series = self._server.query_range(expression, shown.start, shown.end, shown.step)

    def _ask_postgres(self, result: Result) -> None:
        text = statement(result.query.text, self._tenants, self._shown.start, self._shown.end)
        cursor = self._postgres.execute(text.encode())
        result.columns = [column.name for column in cursor.description or []]
        result.rows = [list(row) for row in cursor.fetchall()]


def faults(results: Iterable[Result]) -> dict[str, str]:
    """The queries that a person would see fail, with what is wrong."""
    return {result.query.place: result.error or "empty" for result in results if result.error or result.empty}


def summary(results: Sequence[Result]) -> str:
    """One line with the figures."""
    panels = {(result.query.board, result.query.panel, result.query.kind) for result in results}
    sql = sum(result.query.language == "sql" for result in results)
    return (
        f"{len({result.query.board for result in results})} dashboards, {len(panels)} panels, {len(results)} queries "
        f"({len(results) - sql} PromQL, {sql} SQL): empty {sum(result.empty for result in results)}, "
        f"errors {sum(bool(result.error) for result in results)}"
    )


def write(path: Path, results: Sequence[Result], shown: Shown) -> None:
    """Keep the answers for tests/panel_pictures.py."""
    found = [
        {
            "board": result.query.board,
            "panel": result.query.panel,
            "kind": result.query.kind,
            "ref_id": result.query.ref_id,
            "legend": result.query.legend,
            "series": [{"labels": each.labels, "points": each.points} for each in result.series],
            "columns": result.columns,
            "rows": result.rows,
        }
        for result in results
    ]
    path.write_text(json.dumps({"shown": asdict(shown), "results": found}, default=_plain), encoding="utf-8")


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)
