"""Events of `requests` in, rows of the table `approvals` out; pure, run by the projections worker and by rebuilds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from contracts.envelope import RecordedEvent
from contracts.errors import ValidationError
from contracts.money import financial_impact
from contracts.requests.events import (
    ApprovalDelegated,
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalNotRequired,
    ApprovalReminded,
    ApprovalRequested,
    InformationGiven,
    InformationRequested,
    RequestApproved,
    RequestDeleted,
    RequestFailed,
    RequestRejected,
    RequestUpdated,
)
from contracts.requests.values import APPROVAL_EXPIRED
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table

TABLE = "approvals"
APPROVED, REJECTED, EXPIRED = "approved", "rejected", "expired"
COLUMNS = {
    "request_id": "text",
    "tenant_id": "text",
    "customer_id": "text",
    "customer_tier": "text",
    "message": "text",
    "category": "text",
    "priority": "smallint",
    "reasons": "jsonb",
    "escalation_reasons": "jsonb",
    "financial_impact": "jsonb",
    "approval_threshold": "jsonb",
    "four_eyes": "boolean",
    "approvers": "jsonb",
    "findings": "jsonb",
    "delegated_to": "text",
    "delegated_by": "text",
    "question": "text",
    "asked_by": "text",
    "answer": "text",
    "answered_by": "text",
    "requested_at": "timestamptz",
    "remind_at": "timestamptz",
    "escalate_at": "timestamptz",
    "expires_at": "timestamptz",
    "reminded_at": "timestamptz",
    "escalated_at": "timestamptz",
    "decision": "text",
    "decided_by": "text",
    "decided_at": "timestamptz",
    "reason": "text",
    "over_at": "timestamptz",
    "version": "bigint",
    "position": "bigint",
}
UNKNOWN_YET = dict.fromkeys(COLUMNS)


def approval_requested(recorded: RecordedEvent, event: ApprovalRequested) -> Sequence[RowChange]:
    """The row of what is asked; whatever became of an earlier approval of this request is not of this one."""
    known = {
        "request_id": event.request_id,
        "tenant_id": event.tenant_id,
        "customer_id": event.customer_id,
        "customer_tier": event.customer_tier.value,
        "message": event.message,
        "category": event.category,
        "priority": int(event.priority),
        "reasons": to_json(event.reasons),
        "escalation_reasons": to_json(event.escalation_reasons),
        "financial_impact": None if event.financial_impact is None else event.financial_impact.to_json(),
        "approval_threshold": event.approval_threshold.to_json(),
        "four_eyes": event.four_eyes,
        "approvers": to_json(event.approvers),
        "findings": to_json(event.findings),
        "requested_at": event.requested_at,
        "remind_at": event.remind_at,
        "escalate_at": event.escalate_at,
        "expires_at": event.expires_at,
        "version": recorded.sequence,
        "position": recorded.position,
    }
    return (Insert(TABLE, {**UNKNOWN_YET, **known}),)


def request_updated(recorded: RecordedEvent, event: RequestUpdated) -> Sequence[RowChange]:
    """What is asked about is what counts now; a change of category, amount or currency is also asked for anew, by a later event."""
    changed: dict[str, Any] = {}
    if event.message is not None:
        changed["message"] = event.message
    if event.priority is not None:
        changed["priority"] = int(event.priority)
    if event.category is not None:
        changed["category"] = event.category.value
    if event.metadata is not None:
        changed["financial_impact"] = _impact(event.metadata)
    return (_change(recorded, **changed),)


def approval_delegated(recorded: RecordedEvent, event: ApprovalDelegated) -> Sequence[RowChange]:
    """Who decides now, and who handed it over."""
    return (_change(recorded, delegated_to=event.delegated_to, delegated_by=event.delegated_by),)


def information_requested(recorded: RecordedEvent, event: InformationRequested) -> Sequence[RowChange]:
    """The last question; it has no answer yet."""
    return (_change(recorded, question=event.question, asked_by=event.asked_by, answer=None, answered_by=None),)


def information_given(recorded: RecordedEvent, event: InformationGiven) -> Sequence[RowChange]:
    """The answer to it."""
    return (_change(recorded, answer=event.answer, answered_by=event.given_by),)


def approval_reminded(recorded: RecordedEvent, event: ApprovalReminded) -> Sequence[RowChange]:
    """Somebody was reminded."""
    return (_change(recorded, reminded_at=event.reminded_at),)


def approval_escalated(recorded: RecordedEvent, event: ApprovalEscalated) -> Sequence[RowChange]:
    """The delegation binds nobody any more; to whom it was stays to be seen."""
    return (_change(recorded, escalated_at=event.escalated_at),)


def approval_expired(recorded: RecordedEvent, event: ApprovalExpired) -> Sequence[RowChange]:
    """Nobody decided in time."""
    return (_change(recorded, decision=EXPIRED, decided_at=event.expired_at),)


def request_approved(recorded: RecordedEvent, event: RequestApproved) -> Sequence[RowChange]:
    """Yes: by whom, why, and to what amount."""
    decided = {"decided_by": event.approved_by, "decided_at": event.approved_at, "reason": event.reason}
    impact = None if event.financial_impact is None else event.financial_impact.to_json()
    return (_change(recorded, decision=APPROVED, financial_impact=impact, **decided),)


def request_rejected(recorded: RecordedEvent, event: RequestRejected) -> Sequence[RowChange]:
    """No: by whom and why. A rejection that nobody gave is that of the expiry."""
    expired = event.rejected_by is None and event.reason == APPROVAL_EXPIRED
    decided = {"decided_by": event.rejected_by, "decided_at": event.rejected_at, "reason": event.reason}
    return (_change(recorded, decision=EXPIRED if expired else REJECTED, **decided),)


def approval_not_required(recorded: RecordedEvent, event: ApprovalNotRequired) -> Sequence[RowChange]:
    """What it was about has changed: nobody is asked any more."""
    return (_change(recorded, over_at=event.decided_at),)


def request_failed(recorded: RecordedEvent, event: RequestFailed) -> Sequence[RowChange]:
    """The request is given up."""
    return (_change(recorded, over_at=event.failed_at),)


def request_deleted(recorded: RecordedEvent, event: RequestDeleted) -> Sequence[RowChange]:
    """The request is out of use."""
    return (_change(recorded, over_at=event.deleted_at),)


def _impact(metadata: Mapping[str, Any]) -> bytes | None:
    """The amount in the metadata; none where nobody can read it, as in events from before amounts were checked."""
    try:
        impact = financial_impact(metadata)
    except ValidationError:
        return None
    return None if impact is None else impact.to_json()


def _change(recorded: RecordedEvent, **values: Any) -> Change:
    fixed = {"request_id": recorded.metadata.subject, "version": recorded.sequence, "position": recorded.position}
    return Change(TABLE, {**fixed, **values})


APPROVALS = ReadModel(
    name="approvals",
    version=1,
    contexts=("requests",),
    package="projections.approvals",
    tables=(Table(TABLE, key=("request_id",), columns=COLUMNS, replaced=True),),
    project={
        ApprovalRequested: approval_requested,
        RequestUpdated: request_updated,
        ApprovalDelegated: approval_delegated,
        InformationRequested: information_requested,
        InformationGiven: information_given,
        ApprovalReminded: approval_reminded,
        ApprovalEscalated: approval_escalated,
        ApprovalExpired: approval_expired,
        RequestApproved: request_approved,
        RequestRejected: request_rejected,
        ApprovalNotRequired: approval_not_required,
        RequestFailed: request_failed,
        RequestDeleted: request_deleted,
    },
)
