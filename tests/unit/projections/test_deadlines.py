"""Events of tasks and requests open and close deadlines: one row a stream and name, each fed by one context."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.customers.values import CustomerTier
from contracts.message import Event
from contracts.money import Money
from contracts.requests.events import (
    ApprovalEscalated,
    ApprovalReminded,
    ApprovalRequested,
    RequestApproved,
    RequestDeleted,
    RequestFailed,
    RequestRejected,
)
from contracts.requests.values import ApprovalReason, Priority
from contracts.tasks.events import TaskAssigned, TaskCompleted, TaskPaused, TaskReassigned
from contracts.tasks.values import RoutingStrategy, TaskOutcome
from projections.deadlines.projection import DEADLINES
from tests.unit.projections.recording import FIRST_POSITION, recorded, rows_after

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
REMIND, ESCALATE, EXPIRE = (NOW + timedelta(hours=hours) for hours in (36, 54, 72))
REQUEST: dict[str, Any] = {"tenant_id": "acme", "request_id": "req-1"}
TASK: dict[str, Any] = {"tenant_id": "acme", "task_id": "task-1", "task_type": "triage", "kind": "triage", "subject_id": "req-1"}
NAMES = ("approval-reminder", "approval-escalation", "approval-expiry")


def requested(later: timedelta = timedelta(0)) -> ApprovalRequested:
    return ApprovalRequested(
        **REQUEST, reasons=(ApprovalReason.REFUND,), customer_id="cust-0042", message="Money back", approval_threshold=Money("1000.00"),
        customer_tier=CustomerTier.STANDARD, remind_at=REMIND + later, escalate_at=ESCALATE + later, expires_at=EXPIRE + later,
        requested_at=NOW,
    )  # fmt: skip


def rows(*events: Event) -> dict[str, tuple[str, datetime, int]]:
    """Status, due time and version by the deadline's name."""
    found = rows_after(DEADLINES, recorded(events))
    return {name: (row["status"], row["due_at"], row["version"]) for (_, _, name), row in found.items()}


APPROVED = RequestApproved(**REQUEST, task_id="task-2", customer_id="cust-0042", message="Money back", approved_by="ada", approved_at=NOW)
ENDS = [
    APPROVED,
    RequestRejected(**REQUEST, rejected_by="ada", reason="no", rejected_at=NOW),
    RequestFailed(**REQUEST, reason="no", failed_at=NOW),
    RequestDeleted(**REQUEST, deleted_at=NOW),
]


def test_an_approval_that_is_asked_for_opens_three_deadlines() -> None:
    found = rows_after(DEADLINES, recorded([requested()]))
    assert found["deadlines", "req-1", "approval-expiry"] == {
        "stream_id": "req-1", "name": "approval-expiry", "tenant_id": "acme", "attempt": None, "status": "open", "due_at": EXPIRE,
        "version": 1, "position": FIRST_POSITION + 1,
    }  # fmt: skip
    assert rows(requested()) == {name: ("open", at, 1) for name, at in zip(NAMES, (REMIND, ESCALATE, EXPIRE), strict=True)}


def test_a_reminder_and_an_escalation_close_their_own() -> None:
    found = rows(requested(), ApprovalReminded(**REQUEST, reminded_at=NOW), ApprovalEscalated(**REQUEST, escalated_at=NOW))
    assert [found[name][0] for name in NAMES] == ["closed", "closed", "open"]


@pytest.mark.parametrize("end", ENDS, ids=[type(end).__name__ for end in ENDS])
def test_every_end_of_the_waiting_closes_all_three(end: Event) -> None:
    assert {status for status, _, _ in rows(requested(), end).values()} == {"closed"}
    assert rows(end) == {}, "where nobody was waited for there is nothing to close"


def test_an_approval_that_is_asked_for_again_opens_them_again() -> None:
    later = timedelta(hours=5)
    found = rows(requested(), ApprovalReminded(**REQUEST, reminded_at=NOW), APPROVED, requested(later))
    assert found == {name: ("open", at + later, 4) for name, at in zip(NAMES, (REMIND, ESCALATE, EXPIRE), strict=True)}


def test_a_deadline_of_a_task_runs_with_each_attempt() -> None:
    first = TaskAssigned(**TASK, agent_id="a", attempt=1, priority=Priority.HIGH, assigned_at=NOW, deadline_at=REMIND)
    second = TaskAssigned(**TASK, agent_id="a", attempt=2, priority=Priority.HIGH, assigned_at=NOW, deadline_at=EXPIRE)
    again = TaskReassigned(
        **TASK, agent_id="a", attempt=2, requirements=(), priority=Priority.HIGH, strategy=RoutingStrategy.LEAST_LOADED, reason="lost",
        reassigned_at=NOW,
    )  # fmt: skip
    done = TaskCompleted(**TASK, agent_id="a", attempt=2, outcome=TaskOutcome.SUCCESS, completed_at=NOW)
    assert rows(first) == {"task": ("open", REMIND, 1)}
    paused = TaskPaused(**TASK, agent_id="a", attempt=1, effect_id="eff-1", reason="may have happened", paused_at=NOW)
    assert rows(first, paused) == {"task": ("closed", REMIND, 2)}
    assert rows(first, again) == {"task": ("closed", REMIND, 2)}
    assert rows(first, again, second) == {"task": ("open", EXPIRE, 3)}
    assert rows(first, again, second, done) == {"task": ("closed", EXPIRE, 4)}
