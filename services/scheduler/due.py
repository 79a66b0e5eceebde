"""What is due becomes a command with a derived id; pure, used by the scheduler worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from contracts.envelope import Metadata
from contracts.ids import CommandId, TaskId, TenantId, derived_uuid
from contracts.message import Command
from contracts.tasks.commands import ReassignTask, TimeOutTask
from infra.process_managers.base import COMMAND_IDS
from projections.deadlines.queries import OpenTask

SOURCE = "/agentmesh/scheduler"
LEASE_EXPIRED = "The lease of its host expired."


class DueCommand(NamedTuple):
    """A command to publish, and its id: the same however often it is found due."""

    command: Command
    command_id: CommandId


def time_outs(tasks: Iterable[OpenTask]) -> Iterator[DueCommand]:
    """TimeOutTask for each attempt whose deadline has come; the id follows from stream, deadline and due time (RUNTIME 9)."""
    for task in tasks:
        command = TimeOutTask(tenant_id=TenantId(task.tenant_id), task_id=TaskId(task.task_id), due_at=task.due_at)
        yield DueCommand(command, _id(f"{task.task_id}/task/{task.due_at.isoformat()}"))


def reassignments(tasks: Iterable[OpenTask]) -> Iterator[DueCommand]:
    """ReassignTask for each attempt whose host let its lease run out."""
    for task in tasks:
        command = ReassignTask(tenant_id=TenantId(task.tenant_id), task_id=TaskId(task.task_id), attempt=task.attempt, reason=LEASE_EXPIRED)
        yield DueCommand(command, _id(f"{task.task_id}/{task.attempt}/lease"))


def _id(text: str) -> CommandId:
    return CommandId(derived_uuid(COMMAND_IDS, text))


def envelope(due: DueCommand, now: str) -> Metadata:
    """The headers of a due command."""
    return Metadata(
        message_id=due.command_id,
        type_name=due.command.type_name,
        source=SOURCE,
        subject=due.command.aggregate_id,
        time=now,
        tenant_id=due.command.tenant_id,
        auth_type="system",
        auth_id="scheduler",
        correlation_id=due.command_id,
        causation_id=due.command_id,
    )
