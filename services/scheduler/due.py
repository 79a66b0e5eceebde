"""What is due becomes a command with a derived id; pure, used by the scheduler worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from contracts.envelope import Metadata
from contracts.ids import CommandId, RequestId, TaskId, TenantId, derived_uuid
from contracts.message import Command
from contracts.requests.commands import EscalateApproval, ExpireApproval, RemindApproval, ReviewRequest
from contracts.tasks.commands import ReassignTask, ResumeTask, TimeOutTask
from contracts.tasks.values import LEASE_EXPIRED
from infra.process_managers.base import COMMAND_IDS
from projections.deadlines.queries import ESCALATION, EXPIRY, REMINDER, TASK, DueDeadline, LeftRun
from projections.reviews.queries import OutdatedRequest
from projections.tasks.queries import PausedTask

SOURCE = "/agentmesh/scheduler"
EFFECTS_SETTLED = "Its effects are settled."


class DueCommand(NamedTuple):
    """A command to publish, and its id: the same however often it is found due."""

    command: Command
    command_id: CommandId


def time_out(due: DueDeadline) -> Command:
    """The attempt's deadline has come."""
    return TimeOutTask(tenant_id=TenantId(due.tenant_id), task_id=TaskId(due.stream_id), due_at=due.due_at)


def remind(due: DueDeadline) -> Command:
    """Whoever decides is to be reminded."""
    return RemindApproval(tenant_id=TenantId(due.tenant_id), request_id=RequestId(due.stream_id), due_at=due.due_at)


def escalate(due: DueDeadline) -> Command:
    """Others may decide from now on."""
    return EscalateApproval(tenant_id=TenantId(due.tenant_id), request_id=RequestId(due.stream_id), due_at=due.due_at)


def expire(due: DueDeadline) -> Command:
    """The time limit has come."""
    return ExpireApproval(tenant_id=TenantId(due.tenant_id), request_id=RequestId(due.stream_id), due_at=due.due_at)


COMMANDS: Mapping[str, Callable[[DueDeadline], Command]] = {TASK: time_out, REMINDER: remind, ESCALATION: escalate, EXPIRY: expire}


def commands_of(deadlines: Iterable[DueDeadline]) -> Iterator[DueCommand]:
    """The command of each deadline that has come; its id follows from stream, deadline and due time (RUNTIME 9)."""
    for due in deadlines:
        yield DueCommand(COMMANDS[due.name](due), _id(f"{due.stream_id}/{due.name}/{due.due_at.isoformat()}"))


def reassignments(runs: Iterable[LeftRun]) -> Iterator[DueCommand]:
    """ReassignTask for each attempt whose host let its lease run out."""
    for run in runs:
        command = ReassignTask(tenant_id=TenantId(run.tenant_id), task_id=TaskId(run.task_id), attempt=run.attempt, reason=LEASE_EXPIRED)
        yield DueCommand(command, _id(f"{run.task_id}/{run.attempt}/lease"))


def resumptions(tasks: Iterable[PausedTask]) -> Iterator[DueCommand]:
    """ResumeTask for each paused task that waits for no person any more."""
    for task in tasks:
        command = ResumeTask(tenant_id=TenantId(task.tenant_id), task_id=TaskId(task.task_id), attempt=task.attempt, reason=EFFECTS_SETTLED)
        yield DueCommand(command, _id(f"{task.task_id}/{task.attempt}/resume"))


def reviews(requests: Iterable[OutdatedRequest]) -> Iterator[DueCommand]:
    """ReviewRequest for each request whose customer is in another tier now; once for each change of the customer."""
    for found in requests:
        command = ReviewRequest(tenant_id=TenantId(found.tenant_id), request_id=RequestId(found.request_id))
        yield DueCommand(command, _id(f"{found.request_id}/review/{found.customer_version}"))


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
