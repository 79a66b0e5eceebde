"""The commands of one run, with their envelopes and derived ids; pure, used by the agent host."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.envelope import Metadata, RecordedEvent
from contracts.ids import CommandId, derived_uuid
from contracts.message import Command
from contracts.tasks.events import TaskAssigned
from infra.agents.base import Task
from infra.process_managers.base import COMMAND_IDS


def task_of(event: TaskAssigned) -> Task:
    """The attempt that an assignment asks for."""
    return Task(
        task_id=event.task_id,
        tenant_id=event.tenant_id,
        agent_id=event.agent_id,
        task_type=event.task_type,
        subject_id=event.subject_id,
        attempt=event.attempt,
        priority=event.priority,
        deadline_at=event.deadline_at,
        input=event.input,
    )


def command_id(task: Task, what: str) -> CommandId:
    """The same for every host that says the same of an attempt."""
    return CommandId(derived_uuid(COMMAND_IDS, f"{task.task_id}/{task.attempt}/{what}"))


def envelope(command: Command, task: Task, what: str, assigned: RecordedEvent, source: str, traceparent: str | None = None) -> Metadata:
    """The headers of a run's command: the agent is the actor, the assignment the cause. `traceparent` is the span of the run, where it has
    one."""
    cause = assigned.metadata
    return Metadata(
        message_id=command_id(task, what),
        type_name=command.type_name,
        source=source,
        subject=command.aggregate_id,
        time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        tenant_id=task.tenant_id,
        auth_type="agent",
        auth_id=task.agent_id,
        correlation_id=cause.correlation_id,
        causation_id=cause.message_id,
        traceparent=traceparent or cause.traceparent,
        tracestate=cause.tracestate,
    )
