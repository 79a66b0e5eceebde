"""What a panel asks: an expression of PromQL or a statement of SQL in, a query of Grafana's SDK out; used by panels.py and the boards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from infra.postgres.sql_files import read_sql

PROMETHEUS = DataSourceRef("prometheus", "${datasource}")
POSTGRES_TYPE = "grafana-postgresql-datasource"
POSTGRES = DataSourceRef(POSTGRES_TYPE, "${postgres}")
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of PromQL, and how its series are called in the legend (`{{label}}` is filled in)."""

    expr: str
    legend: str = ""
    exemplar: bool = False

    def target(self, ref_id: str, *, instant: bool = False) -> Builder[Dataquery]:
        """The query in Grafana's terms."""
        query = prometheus.Dataquery().ref_id(ref_id).datasource(PROMETHEUS).expr(self.expr).legend_format(self.legend or "__auto")
        query = query.instant() if instant else query.range()
        return query.exemplar(True) if self.exemplar else query


class SqlQuery(Dataquery):
    """A statement for the Postgres data source; the SDK has no class for it."""

    def __init__(self, ref_id: str, sql: str) -> None:
        self.ref_id = ref_id
        self.sql = sql

    def to_json(self) -> dict[str, object]:
        """As Grafana stores it."""
        return {
            "refId": self.ref_id,
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": "table",
            "rawQuery": True,
            "rawSql": self.sql,
        }


class SqlTarget(Builder[Dataquery]):
    """Hands a statement to the SDK."""

    def __init__(self, ref_id: str, sql: str) -> None:
        self._query = SqlQuery(ref_id, sql)

    def build(self) -> Dataquery:
        """The query."""
        return self._query


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Events a second of a counter, summed by the given labels."""
    return f"sum{_by(by)} (rate({metric}{_where(metric, where)}[$__rate_interval]))"


def counted(metric: str, by: str = "", where: str = "", window: str = "$__range") -> str:
    """How much a counter grew in the time shown."""
    return f"sum{_by(by)} (increase({metric}{_where(metric, where)}[{window}]))"


def quantile(share: float, metric: str, by: str = "", where: str = "", window: str = "$__rate_interval") -> str:
    """A quantile of a histogram; `metric` is its name without `_bucket`."""
    labels = "le" + (f", {by}" if by else "")
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({metric}_bucket{_where(metric, where)}[{window}])))"


def quantiles(metric: str, where: str = "", *, exemplar: bool = False) -> list[Query]:
    """The median and the two tails that our targets name."""
    return [Query(quantile(share, metric, where=where), f"p{share * 100:g}", exemplar) for share in QUANTILES]


def parked_keys() -> str:
    """Aggregates that stand still, over all contexts; while the lead changes two monitors may tell of the same ones."""
    return "sum(max by (context) (agentmesh_parked_keys))"


def leaders() -> str:
    """Contexts that some relay leads; a second one that leads the same context for a moment does not stand for another context."""
    return "sum(max by (context) (agentmesh_relay_leader))"


def or_zero(expr: str) -> str:
    """The same, and 0 where nothing is counted yet."""
    return f"{expr} or vector(0)"


def or_none(expr: str, label: str) -> str:
    """The same, and a line at 0 called `none`: where nothing happened the picture says so, instead of having no data."""
    return f'{expr} or label_replace(vector(0), "{label}", "none", "", "")'


def ratio(part: str, whole: str) -> str:
    """A share: 0 where nothing of the part was counted yet."""
    return f"({or_zero(part)}) / {whole}"


def statement(name: str, context: str = "") -> str:
    """A statement of the folder `sql`, without its comment; `{schema}` in it stands for a context's store."""
    lines = read_sql("infra.grafana.sql", f"{name}.sql", context or None).decode().splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


def union(name: str, contexts: Sequence[str]) -> str:
    """The rows that a statement of the folder `sql` answers for each of the contexts."""
    return "\nUNION ALL ".join(statement(name, context) for context in contexts)


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _where(metric: str, labels: str) -> str:
    """A name without our prefix may be another program's, too: it is asked of our job alone."""
    found = [*([] if metric.startswith("agentmesh_") else ['job="agentmesh"']), *([labels] if labels else [])]
    return "{" + ",".join(found) + "}" if found else ""
