"""What the events of a task say: given its history, when a command comes, then exactly these facts."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.errors import BusinessRuleViolation
from contracts.message import Command
from contracts.requests.values import Priority
from contracts.tasks.commands import TimeOutTask
from contracts.tasks.events import (
    TaskAssigned,
    TaskCancelled,
    TaskCompleted,
    TaskPaused,
    TaskQueued,
    TaskReassigned,
    TaskStarted,
    TaskTimedOut,
)
from contracts.tasks.values import Requirement, RoutingStrategy, TaskOutcome, TaskStatus
from services.tasks.domain import Task, UnexpectedEvent, evolve
from tests.unit.services.tasks.task_states import (
    ASSIGN,
    ASSIGN_2,
    CANCEL,
    COMPLETE,
    CONTEXT,
    DEADLINE,
    FAIL,
    FAIL_2,
    FAIL_FOR_GOOD,
    NOW,
    PAUSE,
    PAUSE_2,
    REASSIGN,
    REASSIGN_2,
    REQUEST,
    RESUME,
    START,
    SUBJECT,
    TASK,
    TIME_OUT,
    USAGE,
    answer,
    decide,
    given,
    in_state,
    refused,
)

QUEUE: dict[str, Any] = {
    "requirements": (Requirement(name="billing", level=3),),
    "priority": Priority.HIGH,
    "strategy": RoutingStrategy.BEST_LEVEL,
}
MICROSECOND = timedelta(microseconds=1)


def again(**facts: Any) -> TaskReassigned:
    return TaskReassigned(**SUBJECT, **QUEUE, agent_id="agent-1", attempt=2, reassigned_at=NOW, **facts)


def ended(outcome: TaskOutcome, attempt: int, **facts: Any) -> TaskCompleted:
    return TaskCompleted(**SUBJECT, **{"agent_id": "agent-1", **facts}, attempt=attempt, outcome=outcome, completed_at=NOW)


# --- queued, assigned, started ------------------------------------------------------------------------------------------


def test_a_requested_task_is_queued_with_all_that_its_first_state_is_made_of() -> None:
    queued = TaskQueued(**SUBJECT, **QUEUE, input={"message": "where is my order"}, max_attempts=2, time_limit_seconds=300, queued_at=NOW)
    assert decide(None, REQUEST) == (queued,)
    task = in_state("queued")
    assert (task.status, task.attempt, task.agent_id, task.deadline_at, task.outcome) == (TaskStatus.QUEUED, 1, None, None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"task_type": "research"},
        {"kind": "other"},
        {"subject_id": "req-2"},
        {"requirements": ()},
        {"priority": Priority.LOW},
        {"strategy": RoutingStrategy.ROUND_ROBIN},
        {"input": {}},
        {"max_attempts": 3},
        {"time_limit_seconds": 301},
    ],
)
def test_the_same_id_for_other_work_is_refused_whichever_field_differs(change: dict[str, Any]) -> None:
    error = refused(in_state("queued"), REQUEST.model_copy(update=change))
    assert isinstance(error, BusinessRuleViolation)
    asked = {"subject_id": change.get("subject_id", "req-1"), "task_type": change.get("task_type", "triage")}
    assert error.details == {"rule": "task_must_not_exist", **asked}


@pytest.mark.parametrize("other", [True, 1.0])
def test_an_input_of_another_json_type_is_another_input(other: object) -> None:
    task = given(REQUEST.model_copy(update={"input": {"a": 1, "b": (2,)}}))
    assert decide(task, REQUEST.model_copy(update={"input": {"b": (2,), "a": 1}})) == ()
    assert answer(task, REQUEST.model_copy(update={"input": {"a": other, "b": (2,)}})) == "task_must_not_exist"


def test_an_assignment_holds_all_that_the_host_needs_and_a_deadline_from_now() -> None:
    assigned = TaskAssigned(
        **SUBJECT,
        agent_id="agent-1",
        attempt=1,
        priority=Priority.HIGH,
        input={"message": "where is my order"},
        assigned_at=NOW,
        deadline_at=DEADLINE,
    )
    assert decide(in_state("queued"), ASSIGN) == (assigned,)
    task = in_state("assigned")
    assert (task.status, task.agent_id, task.deadline_at) == (TaskStatus.ASSIGNED, "agent-1", DEADLINE)


@pytest.mark.parametrize("seconds", [1, 300, 7 * 86_400])
def test_the_deadline_is_the_time_of_the_handling_plus_the_limit(seconds: int) -> None:
    later = CONTEXT._replace(now=NOW + timedelta(minutes=7))
    (assigned,) = decide(given(REQUEST.model_copy(update={"time_limit_seconds": seconds})), ASSIGN, later)
    assert isinstance(assigned, TaskAssigned)
    assert assigned.deadline_at == NOW + timedelta(minutes=7, seconds=seconds)


def test_an_agent_starts_once() -> None:
    assert decide(in_state("assigned"), START) == (TaskStarted(**SUBJECT, agent_id="agent-1", attempt=1, started_at=NOW),)
    assert in_state("running").status is TaskStatus.RUNNING
    assert decide(in_state("running"), START) == ()


# --- success, failure ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["assigned", "running"])
def test_a_success_ends_the_task_with_its_result_whether_or_not_its_start_was_told(state: str) -> None:
    done = ended(TaskOutcome.SUCCESS, 1, result={"category": "billing"}, usage=USAGE, duration_ms=12)
    assert decide(in_state(state), COMPLETE) == (done,)
    task = in_state("succeeded")
    assert (task.status, task.outcome, task.agent_id, task.deadline_at) == (TaskStatus.DONE, TaskOutcome.SUCCESS, "agent-1", None)


def test_a_failure_with_attempts_left_puts_the_task_back_into_the_queue() -> None:
    expected = again(reason="the model does not answer", error_type="ModelUnavailable", usage=USAGE)
    assert decide(in_state("running"), FAIL) == (expected,)
    task = in_state("queued again")
    assert (task.status, task.attempt, task.agent_id, task.deadline_at) == (TaskStatus.QUEUED, 2, None, None)


def test_a_failure_of_the_last_attempt_gives_up_and_keeps_the_kind_of_error() -> None:
    expected = ended(TaskOutcome.FAILURE, 2, reason="given_up", error_type="ModelUnavailable", usage=USAGE)
    assert decide(in_state("running last"), FAIL_2) == (expected,)


@pytest.mark.parametrize(("state", "attempt"), [("running", 1), ("running last", 2)])
def test_a_final_failure_ends_the_task_with_the_agents_own_words(state: str, attempt: int) -> None:
    command = FAIL_FOR_GOOD.model_copy(update={"attempt": attempt})
    expected = ended(TaskOutcome.FAILURE, attempt, reason="the model does not answer", error_type="ModelUnavailable", usage=USAGE)
    assert decide(in_state(state), command) == (expected,)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("ending", ["fail", "time out", "reassign"])
def test_exactly_as_many_attempts_are_made_as_the_task_allows(limit: int, ending: str) -> None:
    endings = {"fail": FAIL, "time out": TIME_OUT, "reassign": REASSIGN}
    task = given(REQUEST.model_copy(update={"max_attempts": limit}))
    attempts = 0
    while task is not None and task.status is not TaskStatus.DONE:
        attempts += 1
        current = {"attempt": task.attempt}
        over = endings[ending] if ending == "time out" else endings[ending].model_copy(update=current)
        for command in (ASSIGN.model_copy(update=current), over):
            for event in decide(task, command):
                task = evolve(task, event)
    assert task is not None
    assert attempts == task.attempt == limit


def test_a_stale_attempt_says_where_the_task_stands_and_is_a_broken_rule_like_any_other() -> None:
    error = refused(in_state("running last"), COMPLETE)
    assert isinstance(error, BusinessRuleViolation)
    assert error.to_error() == {
        "error_type": "BusinessRuleViolation",
        "message": "Attempt 1 of the task is not the current one, or is over.",
        "code": "STALE_ATTEMPT",
        "details": {"rule": "attempt_must_be_current", "status": "running", "attempt": 2},
    }


@pytest.mark.parametrize(("command", "rule"), [(ASSIGN, "assignment_requires_queued"), (FAIL, "not_assigned_to_agent")])
def test_a_refusal_names_the_state(command: Command, rule: str) -> None:
    strange = command.model_copy(update={"agent_id": "agent-2"})
    assert refused(in_state("running"), strange).details == {"rule": rule, "status": "running"}


# --- deadlines ----------------------------------------------------------------------------------------------------------


def timed_out(attempt: int) -> TaskTimedOut:
    return TaskTimedOut(**SUBJECT, agent_id="agent-1", attempt=attempt, deadline_at=DEADLINE, timed_out_at=NOW)


@pytest.mark.parametrize("state", ["assigned", "running"])
def test_a_deadline_with_attempts_left_puts_the_task_back_into_the_queue(state: str) -> None:
    assert decide(in_state(state), TIME_OUT) == (timed_out(1), again(reason="timed_out"))


@pytest.mark.parametrize("state", ["assigned last", "running last"])
def test_the_deadline_of_the_last_attempt_ends_the_task_with_timeout(state: str) -> None:
    assert decide(in_state(state), TIME_OUT) == (timed_out(2), ended(TaskOutcome.TIMEOUT, 2))
    assert in_state("timed out").outcome is TaskOutcome.TIMEOUT


@pytest.mark.parametrize("state", ["assigned", "running"])
@pytest.mark.parametrize(("beside", "events"), [(-MICROSECOND, 0), (0 * MICROSECOND, 2), (MICROSECOND, 0)])
def test_only_the_very_deadline_that_is_held_counts_whatever_the_clock_says(state: str, beside: timedelta, events: int) -> None:
    due = TimeOutTask(**TASK, due_at=DEADLINE + beside)
    long_after = CONTEXT._replace(now=DEADLINE + timedelta(days=1))
    long_before = CONTEXT._replace(now=NOW - timedelta(days=1))
    assert len(decide(in_state(state), due, long_after)) == len(decide(in_state(state), due, long_before)) == events


def test_the_deadline_of_an_earlier_attempt_is_held_no_longer() -> None:
    later = CONTEXT._replace(now=NOW + MICROSECOND)
    (assigned,) = decide(in_state("queued again"), ASSIGN_2, later)
    assert decide(evolve(in_state("queued again"), assigned), TIME_OUT, later) == ()


def test_a_deadline_is_the_same_moment_in_every_time_zone() -> None:
    due = TimeOutTask.from_json(b'{"tenant_id": "test-tenant", "task_id": "task-1", "due_at": "2026-05-04T11:35:00+02:00"}')
    assert len(decide(in_state("running"), due)) == 2


# --- reassigned, cancelled ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["assigned", "running"])
def test_a_task_whose_agent_is_lost_waits_again(state: str) -> None:
    assert decide(in_state(state), REASSIGN) == (again(reason="the host is lost"),)


def test_a_task_whose_agent_is_lost_in_its_last_attempt_is_given_up() -> None:
    assert decide(in_state("running last"), REASSIGN_2) == (ended(TaskOutcome.FAILURE, 2, reason="given_up"),)


@pytest.mark.parametrize(
    ("state", "agent_id", "attempt"),
    [("queued", None, 1), ("assigned", "agent-1", 1), ("queued again", None, 2), ("running last", "agent-1", 2)],
)
def test_a_cancelled_task_stops_its_agent_and_ends(state: str, agent_id: str | None, attempt: int) -> None:
    cancelled = TaskCancelled(**SUBJECT, agent_id=agent_id, attempt=attempt, reason="withdrawn", cancelled_at=NOW)
    end = ended(TaskOutcome.FAILURE, attempt, agent_id=agent_id, reason="cancelled")
    assert decide(in_state(state), CANCEL) == (cancelled, end)


# --- the state itself ---------------------------------------------------------------------------------------------------


def test_the_state_cannot_be_changed_in_place() -> None:
    task = in_state("queued")
    with pytest.raises(ValueError, match="frozen"):
        task.status = TaskStatus.DONE  # type: ignore[misc]
    with pytest.raises(TypeError):
        task.input["message"] = "another"  # type: ignore[index]


def test_evolving_leaves_the_earlier_state_as_it_was() -> None:
    before = in_state("queued")
    (assigned,) = decide(before, ASSIGN)
    assert evolve(before, assigned).status is TaskStatus.ASSIGNED
    assert before.status is TaskStatus.QUEUED


def test_an_event_out_of_order_is_a_defect_and_no_refusal() -> None:
    (queued,) = decide(None, REQUEST)
    with pytest.raises(UnexpectedEvent, match="first event"):
        evolve(None, timed_out(1))
    with pytest.raises(UnexpectedEvent, match="cannot follow"):
        evolve(in_state("queued"), queued)


def test_a_task_that_timed_out_or_was_cancelled_holds_no_deadline_even_before_the_next_event() -> None:
    for command in (TIME_OUT, CANCEL):
        task: Task = in_state("running")
        first, _ = decide(task, command)
        assert evolve(task, first).deadline_at is None


# --- pauses -------------------------------------------------------------------------------------------------------------


def test_a_pause_says_for_which_effect_and_the_task_waits_outside_the_queue() -> None:
    facts = {"effect_id": "eff-1", "reason": PAUSE.reason, "usage": USAGE}
    assert decide(in_state("running"), PAUSE) == (TaskPaused(**SUBJECT, agent_id="agent-1", attempt=1, **facts, paused_at=NOW),)
    task = in_state("paused")
    assert (task.status, task.attempt, task.pauses, task.deadline_at) == (TaskStatus.PAUSED, 1, 1, None)


def test_a_settled_pause_queues_the_task_again_for_its_next_attempt() -> None:
    assert decide(in_state("paused"), RESUME) == (again(reason=RESUME.reason),)
    assert in_state("resumed").agent_id is None


def test_what_ended_in_a_pause_costs_no_attempt() -> None:
    third = {"attempt": 3}
    task = given(REQUEST, ASSIGN, FAIL, ASSIGN_2, PAUSE_2, RESUME.model_copy(update={"attempt": 2}), ASSIGN.model_copy(update=third))
    assert answer(task, FAIL.model_copy(update=third)) == "TaskCompleted", "two attempts counted: it is given up"
    task = given(REQUEST, ASSIGN, PAUSE, RESUME, ASSIGN_2)
    assert answer(task, FAIL_2) == "TaskReassigned", "one attempt counted: another one follows"


def test_an_agent_that_is_paused_for_ever_is_given_up() -> None:
    task = in_state("running").model_copy(update={"pauses": 100})
    (gone,) = decide(task, PAUSE)
    assert isinstance(gone, TaskCompleted)
    assert (gone.outcome, gone.reason) == (TaskOutcome.FAILURE, "given_up")
