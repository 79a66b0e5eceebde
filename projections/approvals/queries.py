"""Questions about approvals and their answers, from the read model; all that CLI and gateway may import of it. Every query that answers
approvals is of one tenant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from contracts.money import Money
from contracts.requests.values import ApprovalReason, EscalationReason
from infra.postgres.base import QueryPort
from projections.listing import After, Listing, Slice, Waiting, waiting_rows

# An approval is waited for until it is decided or not wanted any more; by the database's clock, as the scheduler's deadlines.
COLUMNS = """request_id, tenant_id, customer_id, customer_tier, message, category, priority, reasons::text, escalation_reasons::text,
financial_impact::text, approval_threshold::text, four_eyes, approvers::text, findings::text, delegated_to, delegated_by, question,
asked_by, answer, answered_by, requested_at, remind_at, escalate_at, expires_at, reminded_at, escalated_at, status, decided_by, decided_at,
reason, over_at, extract(epoch FROM coalesce(decided_at, over_at, clock_timestamp()) - requested_at)::double precision, version, position"""
LISTING = Listing("read_approvals.approvals", COLUMNS, id="request_id", time="requested_at")
JSON_COLUMNS = ("reasons", "escalation_reasons", "financial_impact", "approval_threshold", "approvers", "findings")


class ApprovalStatus(StrEnum):
    """Where an approval stands."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    OBSOLETE = "obsolete"


class GetApproval(BaseModel):
    """The approval of one request of a tenant."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    request_id: str


class ListApprovals(BaseModel):
    """Approvals of a tenant, newest first unless told otherwise; what is None does not filter. `after` ends the page before."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    status: ApprovalStatus | None = None
    customer_id: str | None = None
    delegated_to: str | None = None
    oldest_first: bool = False
    limit: int = 100
    after: After | None = None


class ApprovalView(BaseModel):
    """An approval as the read model shows it: what is asked, who may decide, until when, and what became of it. `waited_seconds` counts
    until the decision, or until now."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    tenant_id: str
    customer_id: str
    customer_tier: str
    message: str
    category: str | None
    priority: int
    reasons: tuple[ApprovalReason, ...]
    escalation_reasons: tuple[EscalationReason, ...]
    financial_impact: Money | None
    approval_threshold: Money
    four_eyes: bool
    approvers: tuple[str, ...]
    findings: dict[str, Any]
    delegated_to: str | None
    delegated_by: str | None
    question: str | None
    asked_by: str | None
    answer: str | None
    answered_by: str | None
    requested_at: datetime
    remind_at: datetime
    escalate_at: datetime
    expires_at: datetime
    reminded_at: datetime | None
    escalated_at: datetime | None
    status: ApprovalStatus
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    over_at: datetime | None
    waited_seconds: float
    version: int
    position: int


async def get_approval(port: QueryPort, query: GetApproval) -> ApprovalView | None:
    """The approval, or None when this tenant has no request with that id that was asked about."""
    row = await LISTING.find(port, query.tenant_id, query.request_id)
    return None if row is None else _view(row)


async def list_approvals(port: QueryPort, query: ListApprovals) -> list[ApprovalView]:
    """A page of approvals."""
    wanted = {"status": query.status, "customer_id": query.customer_id, "delegated_to": query.delegated_to}
    return [_view(row) for row in await LISTING.page(port, query.tenant_id, Slice(query.limit, query.after, query.oldest_first), **wanted)]


async def waiting_approvals(port: QueryPort, at_most: int) -> Waiting:
    """Approvals of all tenants that nobody has decided yet, counted up to `at_most`; for operators."""
    return await waiting_rows(port, LISTING.table, "requested_at", "status = 'waiting'", at_most)


async def approval_versions(port: QueryPort, request_ids: Sequence[str]) -> dict[str, int]:
    """The versions of the requests' streams that the read model shows; what it has no row of is absent."""
    return await LISTING.versions(port, request_ids)


def _view(row: Any) -> ApprovalView:
    values = dict(zip(ApprovalView.model_fields, row, strict=True))
    read = {column: None if values[column] is None else json.loads(values[column]) for column in JSON_COLUMNS}
    return ApprovalView(**{**values, **read})
