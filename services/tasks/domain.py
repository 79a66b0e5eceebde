"""The state of a task and how it follows from its events: state and event in, next state out; pure, run by the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from contracts.ids import AgentId, TaskId, TenantId
from contracts.json_object import EMPTY, JsonObject
from contracts.requests.values import Priority
from contracts.tasks.events import (
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskEvent,
    TaskPaused,
    TaskQueued,
    TaskReassigned,
    TaskStarted,
    TaskTimedOut,
)
from contracts.tasks.values import Requirement, RoutingStrategy, TaskOutcome, TaskStatus

FIRST_ATTEMPT = 1


class Task(BaseModel):
    """A task as its events made it. Frozen: a transition is a new value, and only `evolve` makes one."""

    model_config = ConfigDict(frozen=True)

    task_id: TaskId
    tenant_id: TenantId
    task_type: str
    kind: str
    subject_id: str
    requirements: tuple[Requirement, ...]
    priority: Priority
    strategy: RoutingStrategy
    input: JsonObject = EMPTY
    max_attempts: int
    time_limit_seconds: int
    queued_at: AwareDatetime
    status: TaskStatus
    attempt: int
    """The attempt that waits, runs, or ended the task: the fence against late results."""
    agent_id: AgentId | None = None
    """Who has the attempt, or ended it; None while it waits."""
    pauses: int = 0
    """How many attempts ended in a pause: they do not count."""
    deadline_at: AwareDatetime | None = None
    """When the attempt times out; None while nothing runs."""
    outcome: TaskOutcome | None = None


class UnexpectedEvent(Exception):
    """The stream holds an event that cannot follow on this state: a defect, never a refusal."""


def evolve(task: Task | None, event: TaskEvent) -> Task:
    """The state after the event. Raises UnexpectedEvent for an event that this code does not know, or that comes out of order."""
    if task is None:
        if isinstance(event, TaskQueued):
            return _queued(event)
        raise UnexpectedEvent(f"{type(event).__name__} is the first event of its stream")
    if isinstance(event, TaskPaused):
        return task.model_copy(update=_paused(task))
    change = _CHANGES.get(type(event))
    if change is None:
        raise UnexpectedEvent(f"{type(event).__name__} cannot follow in the stream of a task")
    return task.model_copy(update=change(event))


def _queued(event: TaskQueued) -> Task:
    return Task(
        task_id=event.task_id,
        tenant_id=event.tenant_id,
        task_type=event.task_type,
        kind=event.kind,
        subject_id=event.subject_id,
        requirements=event.requirements,
        priority=event.priority,
        strategy=event.strategy,
        input=event.input,
        max_attempts=event.max_attempts,
        time_limit_seconds=event.time_limit_seconds,
        queued_at=event.queued_at,
        status=TaskStatus.QUEUED,
        attempt=FIRST_ATTEMPT,
    )


def _assigned(event: TaskAssigned) -> dict[str, Any]:
    return {
        "status": TaskStatus.ASSIGNED,
        "agent_id": event.agent_id,
        "attempt": event.attempt,
        "deadline_at": event.deadline_at,
    }


def _started(_: TaskStarted) -> dict[str, Any]:
    return {"status": TaskStatus.RUNNING}


def _stopped(_: TaskTimedOut | TaskCancelled) -> dict[str, Any]:
    """What becomes of the task is told by the event that follows in the same append; its deadline is held no longer."""
    return {"deadline_at": None}


def _reassigned(event: TaskReassigned) -> dict[str, Any]:
    return {"status": TaskStatus.QUEUED, "agent_id": None, "attempt": event.attempt, "deadline_at": None}


def _paused(task: Task) -> dict[str, Any]:
    return {"status": TaskStatus.PAUSED, "pauses": task.pauses + 1, "deadline_at": None}


def _completed(event: TaskCompleted) -> dict[str, Any]:
    return {"status": TaskStatus.DONE, "outcome": event.outcome, "deadline_at": None}


_CHANGES: Mapping[type[TaskEvent], Callable[[Any], dict[str, Any]]] = {
    TaskAssigned: _assigned,
    TaskStarted: _started,
    TaskTimedOut: _stopped,
    TaskReassigned: _reassigned,
    TaskCancelled: _stopped,
    TaskCompleted: _completed,
}
