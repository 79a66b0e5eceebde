"""What the dispatcher orders: assignments, verdicts and stranded tasks in, commands with their envelopes out; used by the worker."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.agents.commands import MarkAgentUnhealthy, RecoverAgent
from contracts.envelope import Metadata
from contracts.ids import CommandId, derived_uuid, new_command_id
from contracts.message import Command
from contracts.tasks.commands import AssignTask, ReassignTask
from infra.process_managers.base import COMMAND_IDS
from services.dispatcher.dispatch import Assignment
from services.dispatcher.health import Verdict

SOURCE = "/agentmesh/dispatcher"
ACTOR = "dispatcher"
AGENT_TERMINATED = "Its agent was terminated."


def assign(assignment: Assignment, cause: Metadata | None) -> tuple[Command, Metadata]:
    """Give the task to the agent; a new id for each publication: the same assignment may be made again after it was refused."""
    command = AssignTask(
        tenant_id=assignment.tenant_id, task_id=assignment.task_id, agent_id=assignment.agent_id, attempt=assignment.attempt
    )
    return command, _envelope(command, new_command_id(), cause)


def take_back(held: Assignment, cause: Metadata | None) -> tuple[Command, Metadata]:
    """Take the task from an agent that is gone."""
    command = ReassignTask(tenant_id=held.tenant_id, task_id=held.task_id, attempt=held.attempt, reason=AGENT_TERMINATED)
    return command, _envelope(command, _derived(f"{held.task_id}/{held.attempt}/terminated"), cause)


def tell_health(verdict: Verdict) -> tuple[Command, Metadata]:
    """Mark the agent unhealthy, or let it recover; the id follows from the version of the agent on which that was found."""
    command: Command
    if verdict.failure is None:
        command = RecoverAgent(tenant_id=verdict.tenant_id, agent_id=verdict.agent_id)
    else:
        command = MarkAgentUnhealthy(tenant_id=verdict.tenant_id, agent_id=verdict.agent_id, failure_reason=verdict.text)
    return command, _envelope(command, _derived(f"{verdict.agent_id}/{verdict.version}/{type(command).__name__}"), None)


def _derived(text: str) -> CommandId:
    return CommandId(derived_uuid(COMMAND_IDS, text))


def _envelope(command: Command, command_id: CommandId, cause: Metadata | None) -> Metadata:
    return Metadata(
        message_id=command_id,
        type_name=command.type_name,
        source=SOURCE,
        subject=command.aggregate_id,
        time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        tenant_id=command.tenant_id,
        auth_type="system",
        auth_id=ACTOR,
        correlation_id=command_id if cause is None else cause.correlation_id,
        causation_id=command_id if cause is None else cause.message_id,
        traceparent=None if cause is None else cause.traceparent,
        tracestate=None if cause is None else cause.tracestate,
    )
