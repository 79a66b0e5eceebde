"""The events of the tasks context: facts, stored and published in the same class; no event of this context is private."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime

from contracts.ids import AgentId, TaskId
from contracts.json_object import EMPTY, JsonObject
from contracts.message import Event
from contracts.requests.values import Priority
from contracts.tasks.values import ModelUsage, Requirement, RoutingStrategy, TaskOutcome


class TaskEvent(Event):
    """What every event about a task has: whoever reads one knows what the work is about."""

    context: ClassVar[str] = "tasks"
    aggregate_field: ClassVar[str] = "task_id"

    task_id: TaskId
    task_type: str
    kind: str
    subject_id: str


class TaskQueued(TaskEvent):
    """A unit of work waits for an agent. Holds all that its first state is made of."""

    type_name: ClassVar[str] = "agentmesh.tasks.TaskQueued.v1"

    requirements: tuple[Requirement, ...]
    priority: Priority
    strategy: RoutingStrategy
    input: JsonObject = EMPTY
    max_attempts: int
    time_limit_seconds: int
    queued_at: AwareDatetime


class TaskAssigned(TaskEvent):
    """An agent got the task. Also on the kind's work topic, so it holds all that the agent's host needs."""

    type_name: ClassVar[str] = "agentmesh.tasks.TaskAssigned.v1"

    agent_id: AgentId
    attempt: int
    priority: Priority
    input: JsonObject = EMPTY
    assigned_at: AwareDatetime
    deadline_at: AwareDatetime


class TaskStarted(TaskEvent):
    """The agent works on the task."""

    type_name: ClassVar[str] = "agentmesh.tasks.TaskStarted.v1"

    agent_id: AgentId
    attempt: int
    started_at: AwareDatetime


class TaskTimedOut(TaskEvent):
    """An attempt's deadline passed; what follows, another attempt or the end, is told by the next event."""

    type_name: ClassVar[str] = "agentmesh.tasks.TaskTimedOut.v1"

    agent_id: AgentId
    attempt: int
    deadline_at: AwareDatetime
    timed_out_at: AwareDatetime


class TaskPaused(TaskEvent):
    """The attempt is over and costs none; the task waits, outside the queue, until a person has settled its effects, or calls it off."""

    type_name: ClassVar[str] = "agentmesh.tasks.TaskPaused.v1"

    agent_id: AgentId
    attempt: int
    effect_id: str
    """The effect that may have happened."""
    reason: str
    usage: ModelUsage | None = None
    paused_at: AwareDatetime


class TaskReassigned(TaskEvent):
    """An attempt is over without a result, and the task waits again."""

    type_name: ClassVar[str] = "agentmesh.tasks.TaskReassigned.v1"

    agent_id: AgentId
    """Who had it."""
    attempt: int
    """The next attempt."""
    requirements: tuple[Requirement, ...]
    priority: Priority
    strategy: RoutingStrategy
    reason: str
    error_type: str | None = None
    usage: ModelUsage | None = None
    reassigned_at: AwareDatetime


class TaskCancelled(TaskEvent):
    """The work was called off; an agent that runs it stops. The task's TaskCompleted follows."""

    type_name: ClassVar[str] = "agentmesh.tasks.TaskCancelled.v1"

    agent_id: AgentId | None
    """Who had it; absent where it still waited."""
    attempt: int
    reason: str
    cancelled_at: AwareDatetime


class TaskCompleted(TaskEvent):
    """The task is over, once for all (AGT-20a)."""

    type_name: ClassVar[str] = "agentmesh.tasks.TaskCompleted.v1"

    agent_id: AgentId | None
    attempt: int
    outcome: TaskOutcome
    reason: str | None = None
    """Why it failed: `given_up`, `cancelled`, or the agent's own words."""
    error_type: str | None = None
    result: JsonObject = EMPTY
    usage: ModelUsage | None = None
    duration_ms: int = 0
    completed_at: AwareDatetime


EVENTS: tuple[type[TaskEvent], ...] = (
    TaskQueued,
    TaskAssigned,
    TaskStarted,
    TaskTimedOut,
    TaskPaused,
    TaskReassigned,
    TaskCancelled,
    TaskCompleted,
)
