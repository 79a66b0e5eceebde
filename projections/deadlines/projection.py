"""The read model `deadlines`: events of tasks in, open and closed deadlines out; run by the projections worker."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.envelope import RecordedEvent
from contracts.tasks.events import TaskAssigned, TaskCompleted, TaskReassigned
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table

TABLE = "deadlines"
TASK_DEADLINE = "task"
OPEN, CLOSED = "open", "closed"


def task_assigned(recorded: RecordedEvent, event: TaskAssigned) -> Sequence[RowChange]:
    """The attempt's deadline runs."""
    return (
        Insert(
            TABLE,
            {
                "stream_id": event.task_id,
                "name": TASK_DEADLINE,
                "tenant_id": event.tenant_id,
                "attempt": event.attempt,
                "status": OPEN,
                "due_at": event.deadline_at,
                "version": recorded.sequence,
                "position": recorded.position,
            },
        ),
    )


def task_over(recorded: RecordedEvent, event: TaskReassigned | TaskCompleted) -> Sequence[RowChange]:
    """The attempt is over."""
    over = {
        "stream_id": event.task_id,
        "name": TASK_DEADLINE,
        "status": CLOSED,
        "version": recorded.sequence,
        "position": recorded.position,
    }
    return (Change(TABLE, over),)


DEADLINES = ReadModel(
    name="deadlines",
    version=1,
    contexts=("tasks",),
    package="projections.deadlines",
    tables=(
        Table(
            TABLE,
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
    project={TaskAssigned: task_assigned, TaskReassigned: task_over, TaskCompleted: task_over},
)
