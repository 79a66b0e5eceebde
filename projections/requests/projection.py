"""Events of `requests` in, rows of `requests`, `request_history` and `request_decisions` out; pure, run by the projections worker and by
rebuilds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from contracts.envelope import RecordedEvent
from contracts.requests.events import (
    EVENTS,
    ApprovalNotRequired,
    ApprovalRequested,
    ApprovedInAdvance,
    RequestApproved,
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestEscalated,
    RequestEvent,
    RequestFailed,
    RequestRejected,
    RequestTriaged,
    RequestUpdated,
    ResearchStarted,
)
from contracts.requests.statuses import STATUS_AFTER
from contracts.requests.values import RequestStatus
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table
from projections.requests import decisions

TABLE = "requests"
HISTORY = "request_history"


def request_created(recorded: RecordedEvent, event: RequestCreated) -> Sequence[RowChange]:
    """The request's row, as it was created."""
    return (
        Insert(
            TABLE,
            {
                "request_id": event.request_id,
                "tenant_id": event.tenant_id,
                "customer_id": event.customer_id,
                "thread_id": event.thread_id,
                "message": event.message,
                "priority": int(event.priority),
                "category": event.category,
                "status": RequestStatus.PENDING.value,
                "confidence": None,
                "escalated": False,
                "financial_impact": None,
                "approval_threshold": None,
                "approved_by": None,
                "resolution": None,
                "reason": None,
                "metadata": to_json(event.metadata),
                "created_at": event.created_at,
                "updated_at": event.created_at,
                "completed_at": None,
                "version": recorded.sequence,
                "position": recorded.position,
            },
        ),
    )


def request_triaged(recorded: RecordedEvent, event: RequestTriaged) -> Sequence[RowChange]:
    """Category, priority and confidence as triage assigned them."""
    assigned = {
        "category": event.assigned_category.value,
        "priority": int(event.assigned_priority),
        "confidence": event.confidence,
    }
    return _becomes(recorded, event, event.triaged_at, **assigned), decisions.triage(recorded, event)


def request_escalated(recorded: RecordedEvent, event: RequestEscalated) -> Sequence[RowChange]:
    """A person has to look at it; each time for other reasons, which are with the decisions."""
    return _change(recorded, event.request_id, event.escalated_at, escalated=True), decisions.escalation(recorded, event)


def research_started(recorded: RecordedEvent, event: ResearchStarted) -> Sequence[RowChange]:
    """The request is in progress."""
    return (_becomes(recorded, event, event.started_at),)


def request_updated(recorded: RecordedEvent, event: RequestUpdated) -> Sequence[RowChange]:
    """The fields that were changed."""
    changed: dict[str, Any] = {}
    if event.message is not None:
        changed["message"] = event.message
    if event.priority is not None:
        changed["priority"] = int(event.priority)
    if event.category is not None:
        changed["category"] = event.category.value
    if event.metadata is not None:
        changed["metadata"] = to_json(event.metadata)
    return (_change(recorded, event.request_id, event.updated_at, **changed),)


def approval_not_required(recorded: RecordedEvent, event: ApprovalNotRequired) -> Sequence[RowChange]:
    """The work goes on, and which threshold was asked."""
    threshold = event.approval_threshold.to_json()
    change = _becomes(recorded, event, event.decided_at, approval_threshold=threshold)
    return change, decisions.approval_not_required(recorded, event)


def approval_requested(recorded: RecordedEvent, event: ApprovalRequested) -> Sequence[RowChange]:
    """It waits for a person; the amount that is asked about, and the threshold that it was compared with."""
    impact = event.financial_impact
    money = {
        "financial_impact": None if impact is None else impact.to_json(),
        "approval_threshold": event.approval_threshold.to_json(),
    }
    return (_becomes(recorded, event, event.requested_at, **money),)


def approved_in_advance(recorded: RecordedEvent, event: ApprovedInAdvance) -> Sequence[RowChange]:
    """Nothing was asked yet, so the status stays."""
    return _change(recorded, event.request_id, event.approved_at), decisions.approval_in_advance(recorded, event)


def request_approved(recorded: RecordedEvent, event: RequestApproved) -> Sequence[RowChange]:
    """Who approved it, and to what amount."""
    impact = None if event.financial_impact is None else event.financial_impact.to_json()
    change = _becomes(recorded, event, event.approved_at, approved_by=event.approved_by, financial_impact=impact)
    return change, decisions.approval(recorded, event)


def request_rejected(recorded: RecordedEvent, event: RequestRejected) -> Sequence[RowChange]:
    """The reason; who rejected it is with the decisions."""
    change = _becomes(recorded, event, event.rejected_at, reason=event.reason)
    return change, decisions.rejection(recorded, event)


def request_completed(recorded: RecordedEvent, event: RequestCompleted) -> Sequence[RowChange]:
    """The resolution."""
    resolved = {"resolution": event.resolution, "completed_at": event.completed_at}
    return (_becomes(recorded, event, event.completed_at, **resolved),)


def request_failed(recorded: RecordedEvent, event: RequestFailed) -> Sequence[RowChange]:
    """Given up, and why."""
    return (_becomes(recorded, event, event.failed_at, reason=event.reason),)


def request_deleted(recorded: RecordedEvent, event: RequestDeleted) -> Sequence[RowChange]:
    """A deleted request stays, marked as deleted: its history stays readable."""
    return (_becomes(recorded, event, event.deleted_at, reason=event.reason),)


def request_went_on(recorded: RecordedEvent, _event: RequestEvent) -> Sequence[RowChange]:
    """Something happened that only the history and other read models show; the row reflects it by its version."""
    metadata = recorded.metadata
    return (_change(recorded, metadata.subject, datetime.fromisoformat(metadata.time)),)


def history_row(recorded: RecordedEvent, event: Any) -> Sequence[RowChange]:
    """One row of the history, for every event."""
    metadata = recorded.metadata
    return (
        Insert(
            HISTORY,
            {
                "request_id": metadata.subject,
                "version": recorded.sequence,
                "tenant_id": metadata.tenant_id,
                "position": recorded.position,
                "event_id": metadata.message_id,
                "event_type": metadata.type_name,
                "occurred_at": datetime.fromisoformat(metadata.time),
                "auth_type": metadata.auth_type,
                "auth_id": metadata.auth_id,
                "correlation_id": metadata.correlation_id,
                "causation_id": metadata.causation_id,
                "data": recorded.data,
            },
        ),
    )


def _becomes(recorded: RecordedEvent, event: RequestEvent, at: datetime, **values: Any) -> Change:
    return _change(recorded, event.request_id, at, status=STATUS_AFTER[type(event)].value, **values)


def _change(recorded: RecordedEvent, request_id: str, at: datetime, **values: Any) -> Change:
    fixed = {"request_id": request_id, "updated_at": at, "version": recorded.sequence, "position": recorded.position}
    return Change(TABLE, {**fixed, **values})


REQUESTS = ReadModel(
    name="requests",
    version=2,
    contexts=("requests",),
    package="projections.requests",
    tables=(
        Table(
            TABLE,
            key=("request_id",),
            columns={
                "request_id": "text",
                "tenant_id": "text",
                "customer_id": "text",
                "thread_id": "text",
                "message": "text",
                "priority": "smallint",
                "category": "text",
                "status": "text",
                "confidence": "double precision",
                "escalated": "boolean",
                "financial_impact": "jsonb",
                "approval_threshold": "jsonb",
                "approved_by": "text",
                "resolution": "text",
                "reason": "text",
                "metadata": "jsonb",
                "created_at": "timestamptz",
                "updated_at": "timestamptz",
                "completed_at": "timestamptz",
                "version": "bigint",
                "position": "bigint",
            },
        ),
        Table(
            HISTORY,
            key=("request_id", "version"),
            append_only=True,
            columns={
                "request_id": "text",
                "version": "bigint",
                "tenant_id": "text",
                "position": "bigint",
                "event_id": "text",
                "event_type": "text",
                "occurred_at": "timestamptz",
                "auth_type": "text",
                "auth_id": "text",
                "correlation_id": "text",
                "causation_id": "text",
                "data": "json",
            },
        ),
        decisions.DECISIONS,
    ),
    project={
        **dict.fromkeys(EVENTS, request_went_on),
        RequestCreated: request_created,
        RequestTriaged: request_triaged,
        RequestEscalated: request_escalated,
        ResearchStarted: research_started,
        RequestUpdated: request_updated,
        ApprovalNotRequired: approval_not_required,
        ApprovalRequested: approval_requested,
        ApprovedInAdvance: approved_in_advance,
        RequestApproved: request_approved,
        RequestRejected: request_rejected,
        RequestCompleted: request_completed,
        RequestFailed: request_failed,
        RequestDeleted: request_deleted,
    },
    every_event=history_row,
)
