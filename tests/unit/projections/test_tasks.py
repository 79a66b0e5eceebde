"""Events of a task make its row: where it stands, who has which attempt, why the last one ended, what it used."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts.requests.values import Priority
from contracts.tasks.events import (
    EVENTS,
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
from contracts.tasks.values import ModelUsage, RoutingStrategy, TaskOutcome
from projections.tasks.projection import TASKS
from tests.unit.projections.recording import FIRST_POSITION, recorded, row_after, row_of_one_batch

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
ASSIGNED_AT, STARTED_AT, ENDED_AT = (NOW + timedelta(seconds=seconds) for seconds in (1, 2, 9))
DEADLINE = ASSIGNED_AT + timedelta(seconds=300)
ABOUT: dict[str, Any] = {"tenant_id": "acme", "task_id": "task-1", "task_type": "triage", "kind": "triage", "subject_id": "req-1"}
FIRST: dict[str, Any] = {**ABOUT, "agent_id": "agent-1", "attempt": 1}
SECOND: dict[str, Any] = {**ABOUT, "agent_id": "agent-2", "attempt": 2}
ROUTING: dict[str, Any] = {"requirements": (), "priority": Priority.HIGH, "strategy": RoutingStrategy.LEAST_LOADED}
USAGE = ModelUsage(model="small", calls=2, input_tokens=120, output_tokens=15, cost=Decimal("1E-7"))
MORE_USAGE = ModelUsage(model="large", calls=1, input_tokens=80, output_tokens=9, cost=Decimal("0.0120"))

QUEUED = TaskQueued(**ABOUT, **ROUTING, max_attempts=2, time_limit_seconds=300, queued_at=NOW)
ASSIGNED = TaskAssigned(**FIRST, priority=Priority.HIGH, assigned_at=ASSIGNED_AT, deadline_at=DEADLINE)
STARTED = TaskStarted(**FIRST, started_at=STARTED_AT)
FAILED_ONCE = TaskReassigned(
    **{**SECOND, "agent_id": "agent-1"}, **ROUTING, reason="no answer", error_type="ModelUnavailable", usage=USAGE, reassigned_at=ENDED_AT
)
TIMED_OUT = TaskTimedOut(**FIRST, deadline_at=DEADLINE, timed_out_at=ENDED_AT)
ASSIGNED_AGAIN = TaskAssigned(**SECOND, priority=Priority.HIGH, assigned_at=ENDED_AT, deadline_at=DEADLINE)
SUCCEEDED = TaskCompleted(**FIRST, outcome=TaskOutcome.SUCCESS, usage=MORE_USAGE, duration_ms=41, completed_at=ENDED_AT)


def row(*events: TaskEvent) -> dict[str, Any]:
    return row_after(TASKS, recorded([QUEUED, *events]))


def part(found: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(found[name] for name in names)


def test_a_queued_task_is_a_row_that_waits() -> None:
    found = row()
    known = {name: value for name, value in found.items() if value is not None}
    assert known == {
        **ABOUT,
        "status": "queued",
        "priority": 3,
        "attempt": 1,
        "max_attempts": 2,
        "queued_at": NOW,
        "version": 1,
        "position": FIRST_POSITION + 1,
    }
    assert set(found) == set(TASKS.tables[0].columns)


def test_an_assigned_task_shows_its_agent_and_its_deadline() -> None:
    assert part(row(ASSIGNED), "status", "agent_id", "attempt", "assigned_at", "started_at", "deadline_at") == (
        "assigned", "agent-1", 1, ASSIGNED_AT, None, DEADLINE,
    )  # fmt: skip


def test_a_started_task_runs() -> None:
    assert part(row(ASSIGNED, STARTED), "status", "assigned_at", "started_at") == ("running", ASSIGNED_AT, STARTED_AT)


def test_a_success_shows_what_it_took() -> None:
    found = row(ASSIGNED, STARTED, SUCCEEDED)
    assert part(found, "status", "outcome", "reason", "error_type", "agent_id") == ("done", "SUCCESS", None, None, "agent-1")
    assert part(found, "started_at", "completed_at", "deadline_at", "duration_ms") == (STARTED_AT, ENDED_AT, None, 41)
    assert part(found, "model", "input_tokens", "output_tokens", "cost") == ("large", 80, 9, "0.0120")
    assert part(found, "version", "position") == (4, FIRST_POSITION + 4)


def test_a_failed_attempt_waits_again_and_shows_why() -> None:
    found = row(ASSIGNED, STARTED, FAILED_ONCE)
    assert part(found, "status", "attempt", "reason", "error_type") == ("queued", 2, "no answer", "ModelUnavailable")
    assert part(found, "agent_id", "assigned_at", "started_at", "deadline_at") == (None, None, None, None)
    assert part(found, "model", "input_tokens", "output_tokens", "cost", "outcome") == ("small", 120, 15, "0.0000001", None)
    assert found["queued_at"] == NOW


def test_a_paused_task_says_what_it_waits_for_and_has_no_deadline() -> None:
    paused = TaskPaused(**FIRST, effect_id="eff-1", reason="the mail may have been sent", usage=USAGE, paused_at=ENDED_AT)
    found = row(ASSIGNED, STARTED, paused)
    assert part(found, "status", "attempt", "reason", "error_type") == ("paused", 1, "the mail may have been sent", None)
    assert part(found, "agent_id", "started_at", "deadline_at", "model") == ("agent-1", STARTED_AT, None, "small")
    resumed = FAILED_ONCE.model_copy(update={"reason": "its effects are settled", "error_type": None, "usage": None})
    found = row(ASSIGNED, STARTED, paused, resumed)
    assert part(found, "status", "attempt", "agent_id", "model") == ("queued", 2, None, "small")


def test_a_success_after_a_failed_attempt_leaves_no_reason() -> None:
    success = SUCCEEDED.model_copy(update=SECOND)
    found = row(ASSIGNED, STARTED, FAILED_ONCE, ASSIGNED_AGAIN, success)
    assert part(found, "outcome", "reason", "error_type", "agent_id", "attempt") == ("SUCCESS", None, None, "agent-2", 2)
    assert part(found, "assigned_at", "started_at", "model") == (ENDED_AT, None, "large")


def test_a_task_that_is_given_up_keeps_what_its_last_telling_attempt_used() -> None:
    given_up = TaskCompleted(**SECOND, outcome=TaskOutcome.FAILURE, reason="given_up", error_type="HostLost", completed_at=ENDED_AT)
    found = row(ASSIGNED, FAILED_ONCE, ASSIGNED_AGAIN, given_up)
    assert part(found, "status", "outcome", "reason", "error_type", "attempt") == ("done", "FAILURE", "given_up", "HostLost", 2)
    assert part(found, "model", "cost", "duration_ms") == ("small", "0.0000001", None)


def test_a_time_out_ends_the_deadline_and_the_next_event_tells_the_rest() -> None:
    assert part(row(ASSIGNED, TIMED_OUT), "status", "deadline_at", "version") == ("assigned", None, 3)
    ended = TaskCompleted(**FIRST, outcome=TaskOutcome.TIMEOUT, completed_at=ENDED_AT)
    found = row(ASSIGNED, TIMED_OUT, ended)
    assert part(found, "status", "outcome", "completed_at", "duration_ms", "version") == ("done", "TIMEOUT", ENDED_AT, None, 4)


@pytest.mark.parametrize("agent_id", [None, "agent-1"])
def test_a_cancelled_task_is_a_failure_called_cancelled(agent_id: str | None) -> None:
    holder: dict[str, Any] = {**FIRST, "agent_id": agent_id}
    before = () if agent_id is None else (ASSIGNED,)
    cancelled = TaskCancelled(**holder, reason="not wanted any more", cancelled_at=ENDED_AT)
    ended = TaskCompleted(**holder, outcome=TaskOutcome.FAILURE, reason="cancelled", completed_at=ENDED_AT)
    assert part(row(*before, cancelled), "status", "deadline_at") == ("assigned" if before else "queued", None)
    assert part(row(*before, cancelled, ended), "status", "outcome", "reason", "agent_id") == ("done", "FAILURE", "cancelled", agent_id)


def test_one_batch_makes_the_same_row_as_one_event_at_a_time() -> None:
    events = recorded([QUEUED, ASSIGNED, STARTED, FAILED_ONCE, ASSIGNED_AGAIN, SUCCEEDED.model_copy(update=SECOND)])
    assert row_of_one_batch(TASKS, events) == row_after(TASKS, events)


def test_every_event_of_a_task_has_its_function() -> None:
    assert set(TASKS.project) == set(EVENTS)
