"""Events of `requests` and `tasks` in, the rows that are counted out; pure, run by the projections worker and by rebuilds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from contracts.envelope import RecordedEvent
from contracts.requests import events as requests
from contracts.requests.statuses import STATUS_AFTER
from contracts.requests.values import FINAL_STATUSES, RequestStatus
from contracts.tasks.events import TaskCompleted, TaskPaused, TaskQueued, TaskReassigned
from contracts.tasks.values import ModelUsage, TaskOutcome
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table

REQUESTS, TASKS, USAGE = "requests", "tasks", "model_usage"
FIRST_ATTEMPT = 1


def request_created(recorded: RecordedEvent, event: requests.RequestCreated) -> Sequence[RowChange]:
    """A request that counts from now on."""
    row = {
        "request_id": event.request_id,
        "tenant_id": event.tenant_id,
        "status": RequestStatus.PENDING.value,
        "category": event.category,
        "escalated": False,
        "created_at": event.created_at,
        "ended_at": None,
    }
    return (Insert(REQUESTS, {**row, **_at(recorded)}),)


def request_moved(recorded: RecordedEvent, event: requests.RequestEvent) -> Sequence[RowChange]:
    """The status that it has now, and since when if it is the last one."""
    status = STATUS_AFTER[type(event)]
    ended = {"ended_at": datetime.fromisoformat(recorded.metadata.time)} if status in FINAL_STATUSES else {}
    return (_request(recorded, status=status.value, **ended),)


def request_triaged(recorded: RecordedEvent, event: requests.RequestTriaged) -> Sequence[RowChange]:
    """The category that triage assigned."""
    return (_request(recorded, status=RequestStatus.TRIAGED.value, category=event.assigned_category.value),)


def request_updated(recorded: RecordedEvent, event: requests.RequestUpdated) -> Sequence[RowChange]:
    """Another category, if that is what changed."""
    return () if event.category is None else (_request(recorded, category=event.category.value),)


def request_escalated(recorded: RecordedEvent, _event: requests.RequestEscalated) -> Sequence[RowChange]:
    """A person had to look at it."""
    return (_request(recorded, escalated=True),)


def task_queued(recorded: RecordedEvent, event: TaskQueued) -> Sequence[RowChange]:
    """A task that counts from now on."""
    row = {
        "task_id": event.task_id,
        "tenant_id": event.tenant_id,
        "kind": event.kind,
        "outcome": None,
        "attempts": FIRST_ATTEMPT,
        "duration_ms": None,
        "queued_at": event.queued_at,
        "ended_at": None,
    }
    return (Insert(TASKS, {**row, **_at(recorded)}),)


def task_reassigned(recorded: RecordedEvent, event: TaskReassigned) -> Sequence[RowChange]:
    """One attempt more, and what the last one used."""
    change = Change(TASKS, {"task_id": event.task_id, "attempts": event.attempt, **_at(recorded)})
    return change, *_usage(recorded, event, event.usage, event.reassigned_at)


def task_paused(recorded: RecordedEvent, event: TaskPaused) -> Sequence[RowChange]:
    """What the attempt used that a person has to settle."""
    return _usage(recorded, event, event.usage, event.paused_at)


def task_completed(recorded: RecordedEvent, event: TaskCompleted) -> Sequence[RowChange]:
    """How it ended. Only a success tells how long the agent worked."""
    ended = {
        "outcome": event.outcome.value,
        "duration_ms": event.duration_ms if event.outcome is TaskOutcome.SUCCESS else None,
        "ended_at": event.completed_at,
    }
    change = Change(TASKS, {"task_id": event.task_id, **ended, **_at(recorded)})
    return change, *_usage(recorded, event, event.usage, event.completed_at)


def _request(recorded: RecordedEvent, **values: Any) -> Change:
    return Change(REQUESTS, {"request_id": recorded.metadata.subject, **values, **_at(recorded)})


def _usage(
    recorded: RecordedEvent, event: TaskPaused | TaskReassigned | TaskCompleted, usage: ModelUsage | None, at: datetime
) -> Sequence[RowChange]:
    if usage is None:
        return ()
    row = {
        "task_id": event.task_id,
        "tenant_id": event.tenant_id,
        "kind": event.kind,
        "model": usage.model,
        "calls": usage.calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": f"{usage.cost:f}",
        "at": at,
    }
    return (Insert(USAGE, {**row, **_at(recorded)}),)


def _at(recorded: RecordedEvent) -> dict[str, int]:
    return {"version": recorded.sequence, "position": recorded.position}


ANALYTICS = ReadModel(
    name="analytics",
    version=2,
    gathers=True,
    contexts=("requests", "tasks"),
    package="projections.analytics",
    tables=(
        Table(
            REQUESTS,
            key=("request_id",),
            columns={
                "request_id": "text",
                "tenant_id": "text",
                "status": "text",
                "category": "text",
                "escalated": "boolean",
                "created_at": "timestamptz",
                "ended_at": "timestamptz",
                "version": "bigint",
                "position": "bigint",
            },
        ),
        Table(
            TASKS,
            key=("task_id",),
            columns={
                "task_id": "text",
                "tenant_id": "text",
                "kind": "text",
                "outcome": "text",
                "attempts": "integer",
                "duration_ms": "bigint",
                "queued_at": "timestamptz",
                "ended_at": "timestamptz",
                "version": "bigint",
                "position": "bigint",
            },
        ),
        Table(
            USAGE,
            key=("task_id", "version"),
            append_only=True,
            columns={
                "task_id": "text",
                "version": "bigint",
                "tenant_id": "text",
                "kind": "text",
                "model": "text",
                "calls": "bigint",
                "input_tokens": "bigint",
                "output_tokens": "bigint",
                "cost": "text",
                "at": "timestamptz",
                "position": "bigint",
            },
        ),
    ),
    project={
        **dict.fromkeys(STATUS_AFTER, request_moved),
        requests.RequestCreated: request_created,
        requests.RequestTriaged: request_triaged,
        requests.RequestUpdated: request_updated,
        requests.RequestEscalated: request_escalated,
        TaskQueued: task_queued,
        TaskPaused: task_paused,
        TaskReassigned: task_reassigned,
        TaskCompleted: task_completed,
    },
)
