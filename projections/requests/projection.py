"""Events of `requests` in, rows of the tables `requests` and `request_history` out; pure, run by the projections worker and by rebuilds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from contracts.envelope import RecordedEvent
from contracts.requests.events import (
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestFailed,
    RequestTriaged,
    RequestUpdated,
    ResearchStarted,
)
from contracts.requests.values import RequestStatus
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table

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
                "resolution": None,
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
    return (
        _change(
            recorded,
            event.request_id,
            event.triaged_at,
            status=RequestStatus.TRIAGED.value,
            category=event.assigned_category.value,
            priority=int(event.assigned_priority),
            confidence=event.confidence,
        ),
    )


def research_started(recorded: RecordedEvent, event: ResearchStarted) -> Sequence[RowChange]:
    """The request is in progress."""
    return (_change(recorded, event.request_id, event.started_at, status=RequestStatus.IN_PROGRESS.value),)


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


def request_completed(recorded: RecordedEvent, event: RequestCompleted) -> Sequence[RowChange]:
    """The resolution."""
    return (
        _change(
            recorded,
            event.request_id,
            event.completed_at,
            status=RequestStatus.COMPLETED.value,
            resolution=event.resolution,
            completed_at=event.completed_at,
        ),
    )


def request_failed(recorded: RecordedEvent, event: RequestFailed) -> Sequence[RowChange]:
    """Given up; the reason is in the history."""
    return (_change(recorded, event.request_id, event.failed_at, status=RequestStatus.FAILED.value),)


def request_deleted(recorded: RecordedEvent, event: RequestDeleted) -> Sequence[RowChange]:
    """A deleted request stays, marked as deleted: its history stays readable."""
    return (_change(recorded, event.request_id, event.deleted_at, status=RequestStatus.DELETED.value),)


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


def _change(recorded: RecordedEvent, request_id: str, at: Any, **values: Any) -> Change:
    fixed = {"request_id": request_id, "updated_at": at, "version": recorded.sequence, "position": recorded.position}
    return Change(TABLE, {**fixed, **values})


REQUESTS = ReadModel(
    name="requests",
    version=1,
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
                "resolution": "text",
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
    ),
    project={
        RequestCreated: request_created,
        RequestTriaged: request_triaged,
        ResearchStarted: research_started,
        RequestUpdated: request_updated,
        RequestCompleted: request_completed,
        RequestFailed: request_failed,
        RequestDeleted: request_deleted,
    },
    every_event=history_row,
)
