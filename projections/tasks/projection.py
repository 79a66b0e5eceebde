"""Events of `tasks` in, rows of the table `tasks` out; pure, run by the projections worker and by rebuilds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.envelope import RecordedEvent
from contracts.tasks.events import (
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskPaused,
    TaskQueued,
    TaskReassigned,
    TaskStarted,
    TaskTimedOut,
)
from contracts.tasks.values import ModelUsage, TaskOutcome, TaskStatus
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table

TABLE = "tasks"
FIRST_ATTEMPT = 1
COLUMNS = {
    "task_id": "text",
    "tenant_id": "text",
    "task_type": "text",
    "kind": "text",
    "subject_id": "text",
    "status": "text",
    "outcome": "text",
    "reason": "text",
    "error_type": "text",
    "priority": "smallint",
    "agent_id": "text",
    "attempt": "integer",
    "max_attempts": "integer",
    "queued_at": "timestamptz",
    "assigned_at": "timestamptz",
    "started_at": "timestamptz",
    "completed_at": "timestamptz",
    "deadline_at": "timestamptz",
    "duration_ms": "bigint",
    "model": "text",
    "input_tokens": "bigint",
    "output_tokens": "bigint",
    "cost": "text",
    "version": "bigint",
    "position": "bigint",
}
UNKNOWN_YET = dict.fromkeys(COLUMNS)


def task_queued(recorded: RecordedEvent, event: TaskQueued) -> Sequence[RowChange]:
    """The task's row, waiting for its first attempt."""
    known = {
        "task_id": event.task_id,
        "tenant_id": event.tenant_id,
        "task_type": event.task_type,
        "kind": event.kind,
        "subject_id": event.subject_id,
        "status": TaskStatus.QUEUED.value,
        "priority": int(event.priority),
        "attempt": FIRST_ATTEMPT,
        "max_attempts": event.max_attempts,
        "queued_at": event.queued_at,
        "version": recorded.sequence,
        "position": recorded.position,
    }
    return (Insert(TABLE, {**UNKNOWN_YET, **known}),)


def task_assigned(recorded: RecordedEvent, event: TaskAssigned) -> Sequence[RowChange]:
    """Who has the attempt, since when and until when."""
    return (
        _change(
            recorded,
            event.task_id,
            status=TaskStatus.ASSIGNED.value,
            agent_id=event.agent_id,
            attempt=event.attempt,
            assigned_at=event.assigned_at,
            deadline_at=event.deadline_at,
        ),
    )


def task_started(recorded: RecordedEvent, event: TaskStarted) -> Sequence[RowChange]:
    """The agent works on it."""
    return (_change(recorded, event.task_id, status=TaskStatus.RUNNING.value, started_at=event.started_at),)


def task_stopped(recorded: RecordedEvent, event: TaskTimedOut | TaskCancelled) -> Sequence[RowChange]:
    """No deadline runs any more; what becomes of the task is told by the event that follows in the same append."""
    return (_change(recorded, event.task_id, deadline_at=None),)


def task_paused(recorded: RecordedEvent, event: TaskPaused) -> Sequence[RowChange]:
    """The attempt is over, and the task waits for a person; whom it was given to stays to be seen."""
    return (
        _change(
            recorded, event.task_id, status=TaskStatus.PAUSED.value, reason=event.reason, error_type=None, deadline_at=None,
            **_usage(event.usage),
        ),
    )  # fmt: skip


def task_reassigned(recorded: RecordedEvent, event: TaskReassigned) -> Sequence[RowChange]:
    """The task waits for its next attempt; why the last one ended, and what it used, stays to be seen."""
    return (
        _change(
            recorded,
            event.task_id,
            status=TaskStatus.QUEUED.value,
            reason=event.reason,
            error_type=event.error_type,
            agent_id=None,
            attempt=event.attempt,
            assigned_at=None,
            started_at=None,
            deadline_at=None,
            **_usage(event.usage),
        ),
    )


def task_completed(recorded: RecordedEvent, event: TaskCompleted) -> Sequence[RowChange]:
    """How the task ended, and who had its last attempt. Only a success tells how long the agent worked."""
    return (
        _change(
            recorded,
            event.task_id,
            status=TaskStatus.DONE.value,
            outcome=event.outcome.value,
            reason=event.reason,
            error_type=event.error_type,
            agent_id=event.agent_id,
            attempt=event.attempt,
            completed_at=event.completed_at,
            deadline_at=None,
            duration_ms=event.duration_ms if event.outcome is TaskOutcome.SUCCESS else None,
            **_usage(event.usage),
        ),
    )


def _usage(usage: ModelUsage | None) -> Mapping[str, Any]:
    """Nothing where nothing was told: what an earlier attempt used stays."""
    if usage is None:
        return {}
    return {
        "model": usage.model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": f"{usage.cost:f}",
    }


def _change(recorded: RecordedEvent, task_id: str, **values: Any) -> Change:
    return Change(TABLE, {"task_id": task_id, "version": recorded.sequence, "position": recorded.position, **values})


TASKS = ReadModel(
    name="tasks",
    version=2,
    contexts=("tasks",),
    package="projections.tasks",
    tables=(Table(TABLE, key=("task_id",), columns=COLUMNS),),
    project={
        TaskQueued: task_queued,
        TaskAssigned: task_assigned,
        TaskStarted: task_started,
        TaskTimedOut: task_stopped,
        TaskPaused: task_paused,
        TaskReassigned: task_reassigned,
        TaskCancelled: task_stopped,
        TaskCompleted: task_completed,
    },
)
