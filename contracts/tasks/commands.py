"""The commands of the tasks context: orders of process managers, the dispatcher, agent hosts, the scheduler, and people who cancel."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from contracts.agents.values import AgentKind, ValidAgentId
from contracts.fields import Reason, UtcTime
from contracts.json_object import EMPTY, JsonObject
from contracts.message import Command
from contracts.requests.values import Priority, ValidPriority
from contracts.tasks.values import (
    DEFAULT_ATTEMPTS,
    DEFAULT_TIME_LIMIT_SECONDS,
    Attempt,
    Attempts,
    EffectId,
    ErrorType,
    Milliseconds,
    ModelUsage,
    Requirement,
    RoutingStrategy,
    SubjectId,
    TaskType,
    TimeLimit,
    ValidTaskId,
)


class TaskCommand(Command):
    """What every command about a task has."""

    context: ClassVar[str] = "tasks"
    aggregate_field: ClassVar[str] = "task_id"

    task_id: ValidTaskId


class RequestTask(TaskCommand):
    """Put a unit of agent work into the queue."""

    type_name: ClassVar[str] = "agentmesh.tasks.RequestTask.v1"

    task_type: TaskType
    kind: AgentKind
    subject_id: SubjectId
    requirements: tuple[Requirement, ...] = ()
    priority: ValidPriority = Priority.MEDIUM
    strategy: RoutingStrategy = RoutingStrategy.LEAST_LOADED
    input: JsonObject = Field(default=EMPTY, description="What the agent needs to know.")
    max_attempts: Attempts = DEFAULT_ATTEMPTS
    time_limit_seconds: TimeLimit = DEFAULT_TIME_LIMIT_SECONDS


class AssignTask(TaskCommand):
    """Give a queued task to an agent. Only the dispatcher sends this: selection happens in one place."""

    type_name: ClassVar[str] = "agentmesh.tasks.AssignTask.v1"

    agent_id: ValidAgentId
    attempt: Attempt


class StartTask(TaskCommand):
    """The agent begins to work on the task."""

    type_name: ClassVar[str] = "agentmesh.tasks.StartTask.v1"

    agent_id: ValidAgentId
    attempt: Attempt


class CompleteTask(TaskCommand):
    """The agent's attempt succeeded."""

    type_name: ClassVar[str] = "agentmesh.tasks.CompleteTask.v1"

    agent_id: ValidAgentId
    attempt: Attempt
    result: JsonObject = EMPTY
    usage: ModelUsage | None = None
    duration_ms: Milliseconds = Field(default=0, description="How long the agent worked.")


class FailTask(TaskCommand):
    """The agent's attempt failed; it is tried again while attempts are left, unless that can do no good."""

    type_name: ClassVar[str] = "agentmesh.tasks.FailTask.v1"

    agent_id: ValidAgentId
    attempt: Attempt
    error_type: ErrorType
    reason: Reason
    final: bool = Field(default=False, description="Another attempt can do no good.")
    usage: ModelUsage | None = None


class PauseTask(TaskCommand):
    """The agent's attempt cannot go on: one of its effects may have happened, and only a person can tell. It costs no attempt."""

    type_name: ClassVar[str] = "agentmesh.tasks.PauseTask.v1"

    agent_id: ValidAgentId
    attempt: Attempt
    effect_id: EffectId
    reason: Reason
    usage: ModelUsage | None = None


class ResumeTask(TaskCommand):
    """What the task was paused for is settled: back to the queue."""

    type_name: ClassVar[str] = "agentmesh.tasks.ResumeTask.v1"

    attempt: Attempt
    reason: Reason


class TimeOutTask(TaskCommand):
    """The deadline of an attempt has come. `due_at` is compared with the deadline that the task holds, never with a clock."""

    type_name: ClassVar[str] = "agentmesh.tasks.TimeOutTask.v1"

    due_at: UtcTime


class ReassignTask(TaskCommand):
    """The attempt's agent or host is lost: back to the queue."""

    type_name: ClassVar[str] = "agentmesh.tasks.ReassignTask.v1"

    attempt: Attempt
    reason: Reason


class CancelTask(TaskCommand):
    """The work is not wanted any more."""

    type_name: ClassVar[str] = "agentmesh.tasks.CancelTask.v1"

    reason: Reason


COMMANDS: tuple[type[TaskCommand], ...] = (
    RequestTask,
    AssignTask,
    StartTask,
    CompleteTask,
    FailTask,
    PauseTask,
    ResumeTask,
    TimeOutTask,
    ReassignTask,
    CancelTask,
)
