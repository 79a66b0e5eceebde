"""How many requests and tasks of a tenant there were in a period, how they ended, what they used; all that CLI and gateway may import of
the read model `analytics`. Every query is of one tenant and one period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.postgres.base import QueryPort

REQUESTS = b"""
SELECT status, category, escalated, count(*), avg(extract(epoch FROM ended_at - created_at))::double precision,
       grouping(status), grouping(category), grouping(escalated)
FROM read_analytics.requests
WHERE tenant_id = %(tenant)s AND created_at >= %(since)s AND created_at < %(until)s
GROUP BY GROUPING SETS ((), (status), (category), (escalated))
"""
TASKS = b"""
SELECT kind, outcome, count(*), sum(attempts), avg(duration_ms)::double precision
FROM read_analytics.tasks
WHERE tenant_id = %(tenant)s AND queued_at >= %(since)s AND queued_at < %(until)s
GROUP BY kind, outcome ORDER BY kind, outcome
"""
USAGE = b"""
SELECT model, sum(calls), sum(input_tokens), sum(output_tokens), sum(cost::numeric)
FROM read_analytics.model_usage
WHERE tenant_id = %(tenant)s AND at >= %(since)s AND at < %(until)s
GROUP BY model ORDER BY model
"""
NO_CATEGORY = "none"


class GetAnalytics(BaseModel):
    """A tenant and a period: requests created, tasks asked for and models used from `since` until before `until`."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    since: datetime
    until: datetime


class RequestCounts(BaseModel):
    """Requests by what they are. `none` is the category of one that nobody categorised yet."""

    model_config = ConfigDict(frozen=True)

    total: int = 0
    by_status: Mapping[str, int]
    by_category: Mapping[str, int]
    escalated: int = 0
    mean_seconds_to_completion: float | None = None


class KindCounts(BaseModel):
    """Tasks of one kind. `open` have no outcome yet; `mean_work_ms` is that of those that succeeded."""

    model_config = ConfigDict(frozen=True)

    kind: str
    total: int
    open: int
    by_outcome: Mapping[str, int]
    attempts: int
    mean_work_ms: float | None


class ModelUsed(BaseModel):
    """What all attempts together used of one model."""

    model_config = ConfigDict(frozen=True)

    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost: Decimal


class AnalyticsView(BaseModel):
    """The counts of one tenant and period."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    since: datetime
    until: datetime
    requests: RequestCounts
    tasks: tuple[KindCounts, ...]
    models: tuple[ModelUsed, ...]


async def get_analytics(port: QueryPort, query: GetAnalytics) -> AnalyticsView:
    """The counts; a tenant of whom nothing is known has zeros."""
    bounds = {"tenant": query.tenant_id, "since": query.since, "until": query.until}
    models = await port.fetch(USAGE, bounds)
    return AnalyticsView(
        **query.model_dump(),
        requests=_requests(await port.fetch(REQUESTS, bounds)),
        tasks=tuple(_kinds(await port.fetch(TASKS, bounds))),
        models=tuple(ModelUsed(**dict(zip(ModelUsed.model_fields, row, strict=True))) for row in models),
    )


def _requests(rows: Sequence[Sequence[Any]]) -> RequestCounts:
    by_status: dict[str, int] = {}
    by_category: dict[str, int] = {}
    total = escalated = 0
    mean: float | None = None
    for status, category, is_escalated, count, seconds, *others in rows:
        match others:
            case [0, 1, 1]:
                by_status[status] = count
                mean = seconds if status == "completed" else mean
            case [1, 0, 1]:
                by_category[category or NO_CATEGORY] = count
            case [1, 1, 0]:
                escalated += count if is_escalated else 0
            case _:
                total = count
    ordered = {"by_status": dict(sorted(by_status.items())), "by_category": dict(sorted(by_category.items()))}
    return RequestCounts(total=total, escalated=escalated, mean_seconds_to_completion=mean, **ordered)


def _kinds(rows: Sequence[Sequence[Any]]) -> list[KindCounts]:
    found: dict[str, dict[str, Any]] = {}
    for kind, outcome, count, attempts, work in rows:
        counts = found.setdefault(kind, {"total": 0, "open": 0, "attempts": 0, "by_outcome": {}, "mean_work_ms": None})
        counts["total"] += count
        counts["attempts"] += int(attempts)
        if outcome is None:
            counts["open"] = count
        else:
            counts["by_outcome"][outcome] = count
        counts["mean_work_ms"] = work if work is not None else counts["mean_work_ms"]
    return [KindCounts(kind=kind, **counts) for kind, counts in found.items()]
