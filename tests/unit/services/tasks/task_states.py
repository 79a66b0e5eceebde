"""Tasks in every state that the tests start from, made by the commands that lead there, and short ways to ask for a decision."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.errors import DomainError
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
    TimeOutTask,
)
from contracts.tasks.events import TaskEvent
from contracts.tasks.values import ModelUsage
from infra.runtime.base import DecisionContext
from services.tasks.domain import Task, evolve
from services.tasks.handlers import DECISIONS

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
DEADLINE = NOW + timedelta(seconds=300)
CONTEXT = DecisionContext(NOW, NOW, "test-tenant", "system", "s-1", "c-1")
TASK: dict[str, Any] = {"tenant_id": "test-tenant", "task_id": "task-1"}
SUBJECT: dict[str, Any] = {**TASK, "task_type": "triage", "kind": "triage-agent", "subject_id": "req-1"}
ATTEMPT: dict[str, Any] = {**TASK, "agent_id": "agent-1", "attempt": 1}
USAGE = ModelUsage(model="rules", calls=1, input_tokens=20, output_tokens=5)

REQUEST = RequestTask(
    **SUBJECT,
    requirements=({"name": "billing", "level": 3},),  # type: ignore[arg-type]
    priority=3,
    strategy="best_level",
    input={"message": "where is my order"},
    max_attempts=2,
)
ASSIGN = AssignTask(**ATTEMPT)
START = StartTask(**ATTEMPT)
COMPLETE = CompleteTask(**ATTEMPT, result={"category": "billing"}, usage=USAGE, duration_ms=12)
FAIL = FailTask(**ATTEMPT, error_type="ModelUnavailable", reason="the model does not answer", usage=USAGE)
FAIL_FOR_GOOD = FAIL.model_copy(update={"final": True})
PAUSE = PauseTask(**ATTEMPT, effect_id="eff-1", reason="the effect mail may have happened", usage=USAGE)
RESUME = ResumeTask(**TASK, attempt=1, reason="its effects are settled")
TIME_OUT = TimeOutTask(**TASK, due_at=DEADLINE)
REASSIGN = ReassignTask(**TASK, attempt=1, reason="the host is lost")
CANCEL = CancelTask(**TASK, reason="withdrawn")

SECOND: dict[str, Any] = {"attempt": 2}
ASSIGN_2, START_2, COMPLETE_2, FAIL_2, REASSIGN_2 = (each.model_copy(update=SECOND) for each in (ASSIGN, START, COMPLETE, FAIL, REASSIGN))
PAUSE_2, RESUME_2 = (each.model_copy(update=SECOND) for each in (PAUSE, RESUME))

PATHS: dict[str, list[Command]] = {
    "absent": [],
    "queued": [REQUEST],
    "assigned": [REQUEST, ASSIGN],
    "running": [REQUEST, ASSIGN, START],
    "queued again": [REQUEST, ASSIGN, START, FAIL],
    "paused": [REQUEST, ASSIGN, START, PAUSE],
    "resumed": [REQUEST, ASSIGN, START, PAUSE, RESUME],
    "assigned last": [REQUEST, ASSIGN, START, FAIL, ASSIGN_2],
    "running last": [REQUEST, ASSIGN, START, FAIL, ASSIGN_2, START_2],
    "paused last": [REQUEST, ASSIGN, START, FAIL, ASSIGN_2, START_2, PAUSE_2],
    "succeeded": [REQUEST, ASSIGN, START, COMPLETE],
    "failed": [REQUEST, ASSIGN, START, FAIL_FOR_GOOD],
    "given up": [REQUEST, ASSIGN, FAIL, ASSIGN_2, FAIL_2],
    "timed out": [REQUEST, ASSIGN, FAIL, ASSIGN_2, TIME_OUT],
    "cancelled": [REQUEST, ASSIGN, START, CANCEL],
    "cancelled waiting": [REQUEST, CANCEL],
    "cancelled paused": [REQUEST, ASSIGN, PAUSE, CANCEL],
}
"""The limit is two attempts, so that `last` is the second."""


def decide(task: Task | None, command: Command, context: DecisionContext = CONTEXT) -> tuple[TaskEvent, ...]:
    return DECISIONS[type(command)](task, command, context)  # type: ignore[return-value]


def given(*commands: Command) -> Task | None:
    """The state after commands that must succeed and change something."""
    task: Task | None = None
    for command in commands:
        events = decide(task, command)
        assert events
        for event in events:
            task = evolve(task, event)
    return task


def in_state(name: str) -> Task:
    task = given(*PATHS[name])
    assert task is not None
    return task


def refused(task: Task | None, command: Command) -> DomainError:
    with pytest.raises(DomainError) as caught:
        decide(task, command)
    return caught.value


def answer(task: Task | None, command: Command) -> str:
    """The decision in a word: names of events, `-` for nothing to change, the code or the broken rule of a refusal."""
    try:
        events = decide(task, command)
    except DomainError as error:
        return str(error.details["rule"]) if error.code == "BUSINESS_RULE_VIOLATION" else error.code
    return " ".join(type(event).__name__ for event in events) or "-"
