"""The decisions of the tasks context: state, command and context in, events or a refusal out; pure, run by the command worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from contracts.errors import BusinessRuleViolation, ResourceNotFound
from contracts.ids import AgentId
from contracts.message import Command
from contracts.tasks.commands import (
    AssignTask,
    CancelTask,
    CompleteTask,
    FailTask,
    PauseTask,
    ReassignTask,
    RequestTask,
    ResumeTask,
    StartTask,
    TaskCommand,
    TimeOutTask,
)
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
from contracts.tasks.values import TaskOutcome, TaskStatus
from infra.runtime.base import Decide, DecisionContext
from services.tasks.domain import Task
from services.tasks.policies import (
    ASSIGNMENT_REQUIRES_QUEUED,
    CANCELLED,
    GIVEN_UP,
    MAX_PAUSES,
    NOT_ASSIGNED_TO_AGENT,
    TASK_MUST_NOT_EXIST,
    TIMED_OUT,
    StaleAttempt,
    attempts_left,
    holds_deadline,
    is_as_requested,
)

Events = tuple[TaskEvent, ...]
OVER = frozenset({TaskStatus.DONE, TaskStatus.PAUSED})
"""Where the attempt has ended, whatever becomes of the task."""


def request_task(task: Task | None, command: RequestTask, context: DecisionContext) -> Events:
    """Queue the task. Asking for the same again changes nothing; the id of another task, of whichever tenant, is refused."""
    if task is not None:
        if task.tenant_id == command.tenant_id and is_as_requested(task, command):
            return ()
        # Whoever asked for it learns whose work it was: nobody will do it.
        asked = {"subject_id": command.subject_id, "task_type": command.task_type}
        raise BusinessRuleViolation("Another task with this id exists already.", rule=TASK_MUST_NOT_EXIST, details=asked)
    queued = TaskQueued(
        tenant_id=command.tenant_id,
        task_id=command.task_id,
        task_type=command.task_type,
        kind=command.kind,
        subject_id=command.subject_id,
        requirements=command.requirements,
        priority=command.priority,
        strategy=command.strategy,
        input=command.input,
        max_attempts=command.max_attempts,
        time_limit_seconds=command.time_limit_seconds,
        queued_at=context.now,
    )
    return (queued,)


def assign_task(task: Task | None, command: AssignTask, context: DecisionContext) -> Events:
    """Give the waiting attempt to the agent; from now on its time is limited."""
    found = _existing(task, command)
    if command.attempt != found.attempt:
        raise StaleAttempt(found, command.attempt)
    if found.status is not TaskStatus.QUEUED:
        raise BusinessRuleViolation(
            "Only a queued task can be assigned.", rule=ASSIGNMENT_REQUIRES_QUEUED, details={"status": found.status.value}
        )
    assigned = TaskAssigned(
        **_subject(found),
        agent_id=command.agent_id,
        attempt=found.attempt,
        priority=found.priority,
        input=found.input,
        assigned_at=context.now,
        deadline_at=context.now + timedelta(seconds=found.time_limit_seconds),
    )
    return (assigned,)


def start_task(task: Task | None, command: StartTask, context: DecisionContext) -> Events:
    """The agent begins; saying it again changes nothing."""
    found = _of_assignment(task, command)
    if found.status in OVER:
        raise StaleAttempt(found, command.attempt)
    if found.status is TaskStatus.RUNNING:
        return ()
    return (TaskStarted(**_subject(found), agent_id=command.agent_id, attempt=found.attempt, started_at=context.now),)


def complete_task(task: Task | None, command: CompleteTask, context: DecisionContext) -> Events:
    """The attempt succeeded, whether or not its start was told; a repeat of the result that ended the task changes nothing."""
    found = _of_assignment(task, command)
    if found.status in OVER:
        return _repeated(found, command.attempt, TaskOutcome.SUCCESS)
    completed = TaskCompleted(
        **_subject(found),
        agent_id=command.agent_id,
        attempt=found.attempt,
        outcome=TaskOutcome.SUCCESS,
        result=command.result,
        usage=command.usage,
        duration_ms=command.duration_ms,
        completed_at=context.now,
    )
    return (completed,)


def fail_task(task: Task | None, command: FailTask, context: DecisionContext) -> Events:
    """The attempt failed: another one follows while attempts are left, unless it can do no good."""
    found = _of_assignment(task, command)
    if found.status in OVER:
        return _repeated(found, command.attempt, TaskOutcome.FAILURE)
    facts = {"error_type": command.error_type, "usage": command.usage}
    if command.final:
        return (_failed(found, context, reason=command.reason, **facts),)
    return (_reassigned_or_given_up(found, command.agent_id, context, reason=command.reason, **facts),)


def pause_task(task: Task | None, command: PauseTask, context: DecisionContext) -> Events:
    """The attempt waits for a person: it is over and costs none. A repeat changes nothing."""
    found = _of_assignment(task, command)
    if found.status is TaskStatus.PAUSED:
        return ()
    if found.status is TaskStatus.DONE:
        raise StaleAttempt(found, command.attempt)
    if found.pauses >= MAX_PAUSES:
        return (_failed(found, context, reason=GIVEN_UP, usage=command.usage),)
    paused = TaskPaused(
        **_subject(found),
        agent_id=command.agent_id,
        attempt=found.attempt,
        effect_id=command.effect_id,
        reason=command.reason,
        usage=command.usage,
        paused_at=context.now,
    )
    return (paused,)


def resume_task(task: Task | None, command: ResumeTask, context: DecisionContext) -> Events:
    """The task waits for its next attempt; one that is not paused stays as it is."""
    found = _existing(task, command)
    if command.attempt != found.attempt or found.status is TaskStatus.DONE:
        raise StaleAttempt(found, command.attempt)
    if found.status is not TaskStatus.PAUSED or found.agent_id is None:
        return ()
    return (_reassigned(found, found.agent_id, context, reason=command.reason),)


def time_out_task(task: Task | None, command: TimeOutTask, context: DecisionContext) -> Events:
    """The attempt's deadline has come; a deadline that the task holds no longer changes nothing."""
    found = _existing(task, command)
    if found.agent_id is None or not holds_deadline(found, command.due_at):
        return ()
    timed_out = TaskTimedOut(
        **_subject(found), agent_id=found.agent_id, attempt=found.attempt, deadline_at=command.due_at, timed_out_at=context.now
    )
    if attempts_left(found):
        return (timed_out, _reassigned(found, found.agent_id, context, reason=TIMED_OUT))
    ended = TaskCompleted(
        **_subject(found),
        agent_id=found.agent_id,
        attempt=found.attempt,
        outcome=TaskOutcome.TIMEOUT,
        completed_at=context.now,
    )
    return (timed_out, ended)


def reassign_task(task: Task | None, command: ReassignTask, context: DecisionContext) -> Events:
    """Take the attempt from an agent that is lost; a task that waits already, for an agent or a person, keeps waiting."""
    found = _existing(task, command)
    if command.attempt != found.attempt or found.status is TaskStatus.DONE:
        raise StaleAttempt(found, command.attempt)
    if found.agent_id is None or found.status is TaskStatus.PAUSED:
        return ()
    return (_reassigned_or_given_up(found, found.agent_id, context, reason=command.reason),)


def cancel_task(task: Task | None, command: CancelTask, context: DecisionContext) -> Events:
    """End a task that is not wanted any more; one that has ended stays as it is."""
    found = _existing(task, command)
    if found.status is TaskStatus.DONE:
        return ()
    cancelled = TaskCancelled(
        **_subject(found), agent_id=found.agent_id, attempt=found.attempt, reason=command.reason, cancelled_at=context.now
    )
    return (cancelled, _failed(found, context, reason=CANCELLED))


def _existing(task: Task | None, command: TaskCommand) -> Task:
    """The task, if it is there and the tenant's own; to other tenants it does not exist."""
    if task is None or task.tenant_id != command.tenant_id:
        raise ResourceNotFound("Task", command.task_id)
    return task


def _of_assignment(task: Task | None, command: StartTask | CompleteTask | FailTask | PauseTask) -> Task:
    """The task, if the command comes from the agent that has, or ended, the current attempt."""
    found = _existing(task, command)
    if command.attempt != found.attempt:
        raise StaleAttempt(found, command.attempt)
    if command.agent_id != found.agent_id:
        raise BusinessRuleViolation(
            "The task is not assigned to this agent.", rule=NOT_ASSIGNED_TO_AGENT, details={"status": found.status.value}
        )
    return found


def _repeated(task: Task, attempt: int, outcome: TaskOutcome) -> Events:
    """Nothing to change when the task ended as the late result says; else that attempt is over."""
    if task.outcome is not outcome:
        raise StaleAttempt(task, attempt)
    return ()


def _subject(task: Task) -> dict[str, Any]:
    """What every event about the task says of it."""
    return {
        "tenant_id": task.tenant_id,
        "task_id": task.task_id,
        "task_type": task.task_type,
        "kind": task.kind,
        "subject_id": task.subject_id,
    }


def _reassigned_or_given_up(task: Task, agent_id: AgentId, context: DecisionContext, *, reason: str, **facts: Any) -> TaskEvent:
    if attempts_left(task):
        return _reassigned(task, agent_id, context, reason=reason, **facts)
    return _failed(task, context, reason=GIVEN_UP, **facts)


def _reassigned(task: Task, agent_id: AgentId, context: DecisionContext, *, reason: str, **facts: Any) -> TaskReassigned:
    return TaskReassigned(
        **_subject(task),
        agent_id=agent_id,
        attempt=task.attempt + 1,
        requirements=task.requirements,
        priority=task.priority,
        strategy=task.strategy,
        reason=reason,
        reassigned_at=context.now,
        **facts,
    )


def _failed(task: Task, context: DecisionContext, *, reason: str, **facts: Any) -> TaskCompleted:
    return TaskCompleted(
        **_subject(task),
        agent_id=task.agent_id,
        attempt=task.attempt,
        outcome=TaskOutcome.FAILURE,
        reason=reason,
        completed_at=context.now,
        **facts,
    )


DECISIONS: Mapping[type[Command], Decide] = {
    RequestTask: request_task,
    AssignTask: assign_task,
    StartTask: start_task,
    CompleteTask: complete_task,
    FailTask: fail_task,
    PauseTask: pause_task,
    ResumeTask: resume_task,
    TimeOutTask: time_out_task,
    ReassignTask: reassign_task,
    CancelTask: cancel_task,
}
