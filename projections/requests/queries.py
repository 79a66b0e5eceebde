"""Questions about requests and their answers, from the read model; all that CLI and gateway may import of it. Every query is
of one tenant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from contracts.money import Money
from contracts.requests.values import Decision, EscalationReason
from infra.postgres.base import QueryPort
from projections.listing import After, Listing, Slice, Waiting, waiting_rows

# The reasons of an escalation come one by one, with the decisions; an index finds them, for the rows of the page only.
COLUMNS = """request_id, tenant_id, customer_id, thread_id, message, priority, category, status, confidence, escalated,
CASE WHEN escalated THEN (SELECT string_agg(d.outcome, ', ' ORDER BY d.version) FROM read_requests.request_decisions d
WHERE d.request_id = requests.request_id AND d.kind = 'escalation') END,
financial_impact::text, approval_threshold::text, approved_by, resolution, reason, metadata::text, created_at, updated_at, completed_at,
version, position"""
LISTING = Listing("read_requests.requests", COLUMNS, id="request_id", time="created_at")
# A part of what the partial index of indexes.sql holds, so that it serves this. What waits for a person is counted with the approvals.
OPEN = "status IN ('pending', 'triaged', 'in_progress', 'approved')"
DECISIONS = b"""
SELECT decision_id, kind, outcome, confidence, reason, decided_by, decided_at FROM read_requests.request_decisions
WHERE request_id = %(id)s AND tenant_id = %(tenant)s ORDER BY version
"""


class GetRequest(BaseModel):
    """One request of a tenant, with its decisions unless they are not wanted, with its history when asked for (REQ-14)."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    request_id: str
    include_history: bool = False
    include_decisions: bool = True


class ListRequests(BaseModel):
    """Requests of a tenant, newest first unless told otherwise; what is None does not filter. `after` ends the page before."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    status: str | None = None
    customer_id: str | None = None
    escalated: bool | None = None
    text: str | None = None
    """What the message holds, whatever the case of its letters."""
    deleted: bool = True
    """Whether deleted ones are listed too."""
    oldest_first: bool = False
    limit: int = 100
    after: After | None = None


class HistoryEntry(BaseModel):
    """One event of a request's history."""

    model_config = ConfigDict(frozen=True)

    version: int
    position: int
    event_id: str
    event_type: str
    occurred_at: datetime
    auth_type: str
    auth_id: str
    correlation_id: str
    causation_id: str
    data: dict[str, Any]


class RequestView(BaseModel):
    """A request as the read model shows it; `version` is that of the stream it reflects."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    tenant_id: str
    customer_id: str
    thread_id: str
    message: str
    priority: int
    category: str | None
    status: str
    confidence: float | None
    escalated: bool
    escalation_reasons: tuple[EscalationReason, ...]
    financial_impact: Money | None
    approval_threshold: Money | None
    approved_by: str | None
    resolution: str | None
    reason: str | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    version: int
    position: int
    decisions: tuple[Decision, ...] | None = None
    history: tuple[HistoryEntry, ...] | None = None


async def get_request(port: QueryPort, query: GetRequest) -> RequestView | None:
    """The request, or None when this tenant has none with that id."""
    row = await LISTING.find(port, query.tenant_id, query.request_id)
    if row is None:
        return None
    decisions = await request_decisions(port, query.tenant_id, query.request_id) if query.include_decisions else None
    history = await request_history(port, query.tenant_id, query.request_id) if query.include_history else None
    return _view(row).model_copy(update={"decisions": decisions, "history": history})


async def list_requests(port: QueryPort, query: ListRequests) -> list[RequestView]:
    """A page of requests."""
    wanted = {"status": query.status, "customer_id": query.customer_id}
    escalated = {None: (), True: ("escalated",), False: ("NOT escalated",)}[query.escalated]
    present = () if query.deleted else ("status <> 'deleted'",)
    holds = None if query.text is None else ("message", query.text)
    page = Slice(query.limit, query.after, query.oldest_first, holds)
    return [_view(row) for row in await LISTING.page(port, query.tenant_id, page, *escalated, *present, **wanted)]


async def open_requests(port: QueryPort, at_most: int) -> Waiting:
    """Requests of all tenants that have not ended and wait for no person's approval, counted up to `at_most`; for operators. One waits
    since its last event: what was approved after days has moved a moment ago."""
    return await waiting_rows(port, LISTING.table, "created_at", OPEN, at_most, since="updated_at")


async def find_by_customer(port: QueryPort, tenant_id: str, customer_id: str, limit: int = 100) -> list[RequestView]:
    """A customer's requests, newest first."""
    return await list_requests(port, ListRequests(tenant_id=tenant_id, customer_id=customer_id, limit=limit))


async def request_history(port: QueryPort, tenant_id: str, request_id: str) -> tuple[HistoryEntry, ...]:
    """The events of a request, oldest first."""
    rows = await port.fetch(
        b"SELECT version, position, event_id, event_type, occurred_at, auth_type, auth_id, correlation_id, causation_id, data::text "
        b"FROM read_requests.request_history WHERE request_id = %(id)s AND tenant_id = %(tenant)s ORDER BY version",
        {"id": request_id, "tenant": tenant_id},
    )
    names = tuple(HistoryEntry.model_fields)
    return tuple(HistoryEntry(**{**dict(zip(names, row, strict=True)), "data": json.loads(row[-1])}) for row in rows)


async def request_version(port: QueryPort, request_id: str) -> int:
    """The stream version that the read model shows of a request; 0 when it has no row yet."""
    return await LISTING.version(port, request_id)


async def request_versions(port: QueryPort, request_ids: Sequence[str]) -> dict[str, int]:
    """The stream versions that the read model shows of these requests; what it has no row of is absent."""
    return await LISTING.versions(port, request_ids)


async def request_decisions(port: QueryPort, tenant_id: str, request_id: str) -> tuple[Decision, ...]:
    """What was decided on a request, oldest first."""
    rows = await port.fetch(DECISIONS, {"id": request_id, "tenant": tenant_id})
    return tuple(Decision(**dict(zip(Decision.model_fields, row, strict=True))) for row in rows)


def _view(row: Any) -> RequestView:
    names = [name for name in RequestView.model_fields if name not in ("decisions", "history")]
    values = dict(zip(names, row, strict=True))
    for column in ("financial_impact", "approval_threshold", "metadata"):
        values[column] = None if values[column] is None else json.loads(values[column])
    reasons = values["escalation_reasons"]
    return RequestView(**{**values, "escalation_reasons": reasons.split(", ") if reasons else ()})
