"""Events of `requests` in, rows of the table `request_decisions` out: what was decided, by whom and why (REQ-13); pure, part of the
read model `requests`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from contracts.envelope import UNKNOWN, RecordedEvent
from contracts.requests.events import (
    ApprovalNotRequired,
    ApprovedInAdvance,
    RequestApproved,
    RequestEscalated,
    RequestRejected,
    RequestTriaged,
)
from contracts.requests.values import DecisionKind
from infra.read_models.base import Insert, Table

DECISIONS = Table(
    "request_decisions",
    key=("request_id", "version"),
    append_only=True,
    columns={
        "request_id": "text",
        "version": "bigint",
        "tenant_id": "text",
        "position": "bigint",
        "decision_id": "text",
        "kind": "text",
        "outcome": "text",
        "confidence": "double precision",
        "reason": "text",
        "decided_by": "text",
        "decided_at": "timestamptz",
    },
)
ESCALATED, NOT_REQUIRED, APPROVED, APPROVED_IN_ADVANCE, REJECTED = (
    "escalated",
    "not_required",
    "approved",
    "approved_in_advance",
    "rejected",
)


def triage(recorded: RecordedEvent, event: RequestTriaged) -> Insert:
    """Which category was assigned, and how sure that is."""
    outcome = event.assigned_category.value
    by = _actor(recorded)
    return _row(recorded, DecisionKind.TRIAGE, outcome, event.triaged_at, by, event.reason, event.confidence)


def escalation(recorded: RecordedEvent, event: RequestEscalated) -> Insert:
    """Why a person has to look at it."""
    reasons = ", ".join(reason.value for reason in event.reasons)
    return _row(recorded, DecisionKind.ESCALATION, reasons, event.escalated_at, _actor(recorded))


def approval_not_required(recorded: RecordedEvent, event: ApprovalNotRequired) -> Insert:
    """No policy wants a person."""
    return _row(recorded, DecisionKind.APPROVAL, NOT_REQUIRED, event.decided_at, _actor(recorded))


def approval(recorded: RecordedEvent, event: RequestApproved) -> Insert:
    """A person's yes."""
    return _row(recorded, DecisionKind.APPROVAL, APPROVED, event.approved_at, event.approved_by, event.reason)


def approval_in_advance(recorded: RecordedEvent, event: ApprovedInAdvance) -> Insert:
    """A person's yes before anybody asked."""
    return _row(recorded, DecisionKind.APPROVAL, APPROVED_IN_ADVANCE, event.approved_at, event.approved_by, event.reason)


def rejection(recorded: RecordedEvent, event: RequestRejected) -> Insert:
    """A person's no, or nobody's yes in time."""
    return _row(recorded, DecisionKind.APPROVAL, REJECTED, event.rejected_at, event.rejected_by, event.reason)


def _actor(recorded: RecordedEvent) -> str | None:
    name = recorded.metadata.auth_id
    return None if name == UNKNOWN else name


def _row(
    recorded: RecordedEvent,
    kind: DecisionKind,
    outcome: str,
    at: datetime,
    by: str | None,
    reason: str | None = None,
    confidence: float | None = None,
) -> Insert:
    metadata = recorded.metadata
    values: dict[str, Any] = {
        "request_id": metadata.subject,
        "version": recorded.sequence,
        "tenant_id": metadata.tenant_id,
        "position": recorded.position,
        "decision_id": metadata.message_id,
        "kind": kind.value,
        "outcome": outcome,
        "confidence": confidence,
        "reason": reason,
        "decided_by": by,
        "decided_at": at,
    }
    return Insert(DECISIONS.name, values)
