"""The route of analytics: a period in, the counts of the caller's tenant out, from the read model `analytics`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from infra.identity.base import Permission
from projections.analytics.queries import GetAnalytics, KindCounts, ModelUsed, RequestCounts, get_analytics
from services.gateway.calls import principal_of
from services.gateway.errors import broken_rule
from services.gateway.linked import Link, Linked, json_answer, query_text
from services.gateway.openapi import EXAMPLE_TIME, EXAMPLE_URL, Operation, good, refused
from services.gateway.resources.base import Routes

PATH = "/api/v1/analytics"
DEFAULT_PERIOD = timedelta(hours=24)
LONGEST_PERIOD = timedelta(days=366)
Since = Annotated[AwareDatetime | None, Query(description="RFC 3339, with its offset. Not given: 24 hours before `until`.")]
Until = Annotated[AwareDatetime | None, Query(description="RFC 3339, with its offset; it does not count itself. Not given: now.")]


class Analytics(Linked):
    """Requests created, tasks asked for and models used from `since` until before `until`."""

    since: datetime
    until: datetime
    requests: RequestCounts
    tasks: tuple[KindCounts, ...]
    models: tuple[ModelUsed, ...]


EXAMPLE: Mapping[str, object] = {
    "since": "2026-05-03T12:00:00Z",
    "until": EXAMPLE_TIME,
    "requests": {
        "total": 3,
        "by_status": {"completed": 2, "in_progress": 1},
        "by_category": {"billing": 2, "none": 1},
        "escalated": 1,
        "mean_seconds_to_completion": 4.2,
    },
    "tasks": [
        {"kind": "triage", "total": 3, "open": 0, "by_outcome": {"SUCCESS": 3}, "attempts": 4, "mean_work_ms": 12.5},
    ],
    "models": [{"model": "small", "calls": 3, "input_tokens": 360, "output_tokens": 45, "cost": "0.0360"}],
    "_links": {"self": {"href": f"{EXAMPLE_URL}{PATH}", "rel": "self", "method": "GET", "description": None}},
}
GET = Operation(
    "get_analytics",
    "Count requests, tasks and models",
    "What the tenant had in a period: requests created in it by what they are now, tasks asked for in it by kind, models used in it. The "
    "period is the last 24 hours unless it is named, and at most 366 days long.",
    200,
    {200: good(Analytics, "The counts; zeros where there was nothing.", EXAMPLE), **refused()},
)


def period(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Beginning and end, in UTC. Raises ApiError, 422: one that ends before it begins, or is too long."""
    try:
        end = now if until is None else until.astimezone(UTC)
        begin = end - DEFAULT_PERIOD if since is None else since.astimezone(UTC)
    except OverflowError:
        raise broken_rule(
            "since" if until is None else "until", "Should be a time between the years 1 and 9999 in UTC", where="query"
        ) from None
    if begin >= end:
        raise broken_rule("since", "Should be before until", since, where="query")
    if end - begin > LONGEST_PERIOD:
        raise broken_rule("since", f"Should be at most {LONGEST_PERIOD.days} days before until", since, where="query")
    return begin, end


class AnalyticsRoutes(Routes):
    """The handler."""

    read_models = ("analytics",)

    def router(self) -> APIRouter:
        """The route with its permission."""
        router = APIRouter(prefix=PATH, tags=["analytics"])
        self.add(router, "GET", "", self.get, Permission.ANALYTICS_VIEW, GET)
        return router

    async def get(self, request: Request, since: Since = None, until: Until = None) -> Response:
        """The counts of a period."""
        begin, end = period(since, until, datetime.now(UTC))
        principal = principal_of(request.scope)
        found = await get_analytics(self.reads(principal), GetAnalytics(tenant_id=principal.tenant_id, since=begin, until=end))
        named = query_text({"since": begin.isoformat(), "until": end.isoformat()})
        links = {"self": Link(href=self.url(PATH) + named, rel="self", description="The same period again.")}
        shown = Analytics(
            since=found.since, until=found.until, requests=found.requests, tasks=found.tasks, models=found.models, links=links
        )
        return json_answer(shown.to_json())
