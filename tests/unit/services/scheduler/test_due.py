"""What is due becomes a command whose id is the same however often it is found due."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest

from contracts.message import Command
from contracts.requests.commands import EscalateApproval, ExpireApproval, RemindApproval, ReviewRequest
from contracts.tasks.commands import ReassignTask, ResumeTask, TimeOutTask
from infra.process_managers.base import COMMAND_IDS
from projections.deadlines.projection import DEADLINES
from projections.deadlines.queries import DueDeadline, LeftRun
from projections.reviews.queries import OutdatedRequest
from projections.tasks.queries import PausedTask
from services.scheduler.due import COMMANDS, commands_of, envelope, reassignments, resumptions, reviews

DUE_AT = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "stream_id", "command_type"),
    [
        ("task", "task-1", TimeOutTask),
        ("approval-reminder", "req-1", RemindApproval),
        ("approval-escalation", "req-1", EscalateApproval),
        ("approval-expiry", "req-1", ExpireApproval),
    ],
)
def test_a_deadline_that_has_come_is_a_command_of_its_stream(name: str, stream_id: str, command_type: type[Command]) -> None:
    (due,) = commands_of([DueDeadline(stream_id, name, "acme", DUE_AT)])
    assert type(due.command) is command_type
    assert (due.command.aggregate_id, due.command.tenant_id) == (stream_id, "acme")
    assert due.command.due_at == DUE_AT  # type: ignore[attr-defined]
    assert UUID(due.command_id) == uuid5(COMMAND_IDS, f"{stream_id}/{name}/2026-05-04T09:30:00+00:00")


def test_another_deadline_or_another_due_time_is_another_command() -> None:
    deadlines = [
        DueDeadline(stream_id, name, "acme", due_at)
        for stream_id in ("req-1", "req-2")
        for name in ("approval-reminder", "approval-expiry")
        for due_at in (DUE_AT, DUE_AT + timedelta(microseconds=1))
    ]
    assert len({due.command_id for due in commands_of(deadlines)}) == len(deadlines)
    assert list(commands_of(deadlines)) == list(commands_of(deadlines))


def test_every_deadline_that_the_read_model_opens_has_its_command() -> None:
    assert set(COMMANDS) == {"task", "approval-reminder", "approval-escalation", "approval-expiry"}
    assert DEADLINES.contexts == ("tasks", "requests")


def test_a_left_run_is_reassigned_once_for_each_attempt() -> None:
    first, second = reassignments([LeftRun("task-1", "acme", 1), LeftRun("task-1", "acme", 2)])
    assert isinstance(first.command, ReassignTask)
    assert (first.command.attempt, first.command_id != second.command_id) == (1, True)


def test_a_paused_task_is_queued_again_once_for_each_attempt() -> None:
    first, second = resumptions([PausedTask("task-1", "acme", 1), PausedTask("task-1", "acme", 2)])
    assert isinstance(first.command, ResumeTask)
    assert (first.command.attempt, first.command_id != second.command_id) == (1, True)
    assert first.command_id != next(reassignments([LeftRun("task-1", "acme", 1)])).command_id


def test_a_request_is_looked_at_again_once_for_each_change_of_its_customer() -> None:
    found = [OutdatedRequest("req-1", "acme", 2), OutdatedRequest("req-1", "acme", 3), OutdatedRequest("req-2", "acme", 2)]
    again = list(reviews(found))
    assert {type(due.command) for due in again} == {ReviewRequest}
    assert len({due.command_id for due in again}) == 3
    assert again == list(reviews(found))


def test_the_scheduler_says_who_it_is() -> None:
    (due,) = commands_of([DueDeadline("req-1", "approval-expiry", "acme", DUE_AT)])
    headers = envelope(due, "2026-05-04T09:30:01.000Z")
    assert (headers.source, headers.auth_type, headers.auth_id) == ("/agentmesh/scheduler", "system", "scheduler")
    assert headers.correlation_id == headers.causation_id == headers.message_id == due.command_id
