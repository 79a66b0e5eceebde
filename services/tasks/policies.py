"""The named rules of tasks: a task in, yes or no out, and the refusals that rules make; pure, asked by the handlers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts.errors import BusinessRuleViolation
from contracts.tasks.commands import RequestTask
from contracts.tasks.values import TaskStatus
from services.tasks.domain import Task

TASK_MUST_NOT_EXIST = "task_must_not_exist"
ASSIGNMENT_REQUIRES_QUEUED = "assignment_requires_queued"
NOT_ASSIGNED_TO_AGENT = "not_assigned_to_agent"
ATTEMPT_MUST_BE_CURRENT = "attempt_must_be_current"
STALE_ATTEMPT = "STALE_ATTEMPT"

GIVEN_UP = "given_up"
CANCELLED = "cancelled"
MAX_PAUSES = 100
"""An agent that is paused for ever, whatever is settled, is a broken one."""
TIMED_OUT = "timed_out"

HELD_BY_AN_AGENT = frozenset({TaskStatus.ASSIGNED, TaskStatus.RUNNING})
REQUESTED_FIELDS = (
    "task_type",
    "kind",
    "subject_id",
    "requirements",
    "priority",
    "strategy",
    "max_attempts",
    "time_limit_seconds",
)


class StaleAttempt(BusinessRuleViolation):
    """The command is about an attempt that is not the current one, or is over. Harmless: its sender drops what it has (RUNTIME 7)."""

    def __init__(self, task: Task, attempt: int) -> None:
        super().__init__(
            f"Attempt {attempt} of the task is not the current one, or is over.",
            rule=ATTEMPT_MUST_BE_CURRENT,
            details={"status": task.status.value, "attempt": task.attempt},
        )
        self.code = STALE_ATTEMPT

    @property
    def error_type(self) -> str:
        """A broken rule like any other; the code tells it apart."""
        return BusinessRuleViolation.__name__


def attempts_left(task: Task) -> bool:
    """AGT-20a: another attempt may follow on the current one. What ended in a pause was no fault of the attempt."""
    return task.attempt - task.pauses < task.max_attempts


def holds_deadline(task: Task, due_at: datetime) -> bool:
    """RUNTIME 9: this very deadline is the one of the attempt that an agent has now."""
    return task.status in HELD_BY_AN_AGENT and task.deadline_at == due_at


def is_as_requested(task: Task, command: RequestTask) -> bool:
    """The command asks for the task that is there already."""
    same = all(getattr(task, name) == getattr(command, name) for name in REQUESTED_FIELDS)
    return same and _canonical(task.input) == _canonical(command.input)


def _canonical(value: Mapping[str, Any]) -> str:
    """JSON for comparing: in Python 1 equals true and 1.0, in JSON text it does not."""
    return json.dumps(value, sort_keys=True)
