"""The read model `deadlines`: events of tasks and requests in, open and closed deadlines out; run by the projections worker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from contracts.envelope import RecordedEvent
from contracts.requests.events import (
    ApprovalEscalated,
    ApprovalReminded,
    ApprovalRequested,
    RequestApproved,
    RequestDeleted,
    RequestFailed,
    RequestRejected,
)
from contracts.tasks.events import TaskAssigned, TaskCompleted, TaskPaused, TaskReassigned
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table
from projections.deadlines.queries import ESCALATION, EXPIRY, REMINDER, TASK

TABLE = "deadlines"
OPEN, CLOSED = "open", "closed"


def task_assigned(recorded: RecordedEvent, event: TaskAssigned) -> Sequence[RowChange]:
    """The attempt's deadline runs."""
    return (_open(recorded, TASK, event.deadline_at, attempt=event.attempt),)


def task_over(recorded: RecordedEvent, _event: TaskPaused | TaskReassigned | TaskCompleted) -> Sequence[RowChange]:
    """The attempt is over."""
    return (_close(recorded, TASK),)


def approval_requested(recorded: RecordedEvent, event: ApprovalRequested) -> Sequence[RowChange]:
    """A person is waited for, for so long; asked for anew, everything runs anew."""
    return (
        _open(recorded, REMINDER, event.remind_at),
        _open(recorded, ESCALATION, event.escalate_at),
        _open(recorded, EXPIRY, event.expires_at),
    )


def approval_reminded(recorded: RecordedEvent, _event: ApprovalReminded) -> Sequence[RowChange]:
    """Nobody is reminded twice."""
    return (_close(recorded, REMINDER),)


def approval_escalated(recorded: RecordedEvent, _event: ApprovalEscalated) -> Sequence[RowChange]:
    """It is escalated once."""
    return (_close(recorded, ESCALATION),)


def approval_over(recorded: RecordedEvent, _event: Any) -> Sequence[RowChange]:
    """Nobody is waited for any more; of a request for which nobody was, there is nothing to close."""
    return tuple(_close(recorded, name) for name in (REMINDER, ESCALATION, EXPIRY))


def _open(recorded: RecordedEvent, name: str, due_at: datetime, attempt: int | None = None) -> Insert:
    return Insert(
        TABLE,
        {
            "stream_id": recorded.aggregate_id,
            "name": name,
            "tenant_id": recorded.metadata.tenant_id,
            "attempt": attempt,
            "status": OPEN,
            "due_at": due_at,
            "version": recorded.sequence,
            "position": recorded.position,
        },
    )


def _close(recorded: RecordedEvent, name: str) -> Change:
    over = {"stream_id": recorded.aggregate_id, "name": name, "status": CLOSED, "version": recorded.sequence, "position": recorded.position}
    return Change(TABLE, over)


DEADLINES = ReadModel(
    name="deadlines",
    version=3,
    gathers=True,
    contexts=("tasks", "requests"),
    package="projections.deadlines",
    tables=(
        Table(
            TABLE,
            # Each name belongs to one context, so each row is fed by one stream and one version says how far it is.
            key=("stream_id", "name"),
            replaced=True,
            columns={
                "stream_id": "text",
                "name": "text",
                "tenant_id": "text",
                "attempt": "integer",
                "status": "text",
                "due_at": "timestamptz",
                "version": "bigint",
                "position": "bigint",
            },
        ),
    ),
    project={
        TaskAssigned: task_assigned,
        TaskPaused: task_over,
        TaskReassigned: task_over,
        TaskCompleted: task_over,
        ApprovalRequested: approval_requested,
        ApprovalReminded: approval_reminded,
        ApprovalEscalated: approval_escalated,
        RequestApproved: approval_over,
        RequestRejected: approval_over,
        RequestFailed: approval_over,
        RequestDeleted: approval_over,
    },
)
