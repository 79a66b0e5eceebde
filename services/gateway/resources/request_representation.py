"""Rows of the read model `requests` in, what callers read of a request out, with links that fit its state and the caller's role."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from contracts.requests.values import FINAL_STATUSES, Decision, RequestStatus
from infra.identity.base import Permission
from projections.requests.queries import HistoryEntry, RequestView
from projections.timeline.queries import Part, TimelineView, Totals
from services.gateway.linked import Link, Linked, May, Page

REQUESTS_PATH = "/api/v1/requests"
APPROVABLE = frozenset({RequestStatus.PENDING, RequestStatus.AWAITING_APPROVAL})


class RequestRepresentation(Linked):
    """A request, as the read model shows it."""

    request_id: str
    customer_id: str
    thread_id: str
    status: RequestStatus
    message: str
    priority: int
    category: str | None
    metadata: dict[str, Any]
    escalated: bool
    resolution: str | None
    reason: str | None
    created_at: datetime
    updated_at: datetime
    version: int = Field(description="The version of the request's stream; also the ETag.")
    position: str = Field(description="The event that this shows, as `context:position`.")


class RequestPage(Page[RequestRepresentation]):
    """A page of requests."""


class Actor(BaseModel):
    """Whose command led to an event."""

    type: str
    id: str


class HistoryItem(BaseModel):
    """One event of a request."""

    version: int
    position: str
    event_id: str
    event_type: str
    occurred_at: datetime
    actor: Actor
    correlation_id: str
    data: dict[str, Any]


class RequestHistory(Linked):
    """The events of a request, oldest first (REQ-16)."""

    request_id: str
    items: list[HistoryItem]


class RequestDecisions(Linked):
    """What was decided on a request, by whom and why, oldest first."""

    request_id: str
    items: tuple[Decision, ...]


class RequestTimeline(Linked):
    """Where the time of a request went: its parts with their steps, and the sums. `ended_at` is null while it is open. `trace_ids` are the
    recorded traces of it, its own first."""

    request_id: str
    began_at: datetime
    ended_at: datetime | None
    parts: tuple[Part, ...]
    totals: Totals
    trace_ids: tuple[str, ...]


def links_of(base_url: str, view: RequestView, may: May) -> dict[str, Link]:
    """What this caller can do with the request now (API-14, API-15)."""
    href = f"{base_url}{REQUESTS_PATH}/{view.request_id}"
    status = RequestStatus(view.status)
    links = {"self": Link(href=href, rel="self", description="This request.")}
    if may(Permission.REQUEST_UPDATE) and status not in FINAL_STATUSES:
        links["update"] = Link(href=href, rel="update", method="PATCH", description="Change message, priority, category or metadata.")
    if may(Permission.REQUEST_APPROVE) and status in APPROVABLE:
        links["approve"] = Link(href=f"{href}/approve", rel="approve", method="POST", description="Approve or reject it.")
    if status is RequestStatus.COMPLETED:
        links["history"] = Link(href=f"{href}/history", rel="history", description="What happened to it.")
    return links


def represent(base_url: str, view: RequestView, may: May) -> RequestRepresentation:
    """The request as this caller reads it."""
    shown = {name: getattr(view, name) for name in RequestRepresentation.model_fields if name not in ("links", "position", "status")}
    return RequestRepresentation(
        **shown,
        status=RequestStatus(view.status),
        position=f"requests:{view.position}",
        links=links_of(base_url, view, may),
    )


def represent_history(base_url: str, request_id: str, entries: tuple[HistoryEntry, ...]) -> RequestHistory:
    """A request's events as callers read them."""
    items = [
        HistoryItem(
            version=entry.version,
            position=f"requests:{entry.position}",
            event_id=entry.event_id,
            event_type=entry.event_type,
            occurred_at=entry.occurred_at,
            actor=Actor(type=entry.auth_type, id=entry.auth_id),
            correlation_id=entry.correlation_id,
            data=entry.data,
        )
        for entry in entries
    ]
    return RequestHistory(request_id=request_id, items=items, links=_of_request(base_url, request_id, "history"))


def represent_decisions(base_url: str, request_id: str, decisions: tuple[Decision, ...]) -> RequestDecisions:
    """A request's decisions as callers read them."""
    return RequestDecisions(request_id=request_id, items=decisions, links=_of_request(base_url, request_id, "decisions"))


def represent_timeline(base_url: str, found: TimelineView) -> RequestTimeline:
    """A request's timeline as callers read it."""
    return RequestTimeline(
        request_id=found.request_id,
        began_at=found.began_at,
        ended_at=found.ended_at,
        parts=found.parts,
        totals=found.totals,
        trace_ids=found.trace_ids,
        links=_of_request(base_url, found.request_id, "timeline"),
    )


def _of_request(base_url: str, request_id: str, what: str) -> dict[str, Link]:
    href = f"{base_url}{REQUESTS_PATH}/{request_id}"
    return {"self": Link(href=f"{href}/{what}", rel="self"), "request": Link(href=href, rel="request")}
