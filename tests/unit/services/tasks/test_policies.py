"""The rules of tasks at their boundaries, and the fields of their commands at theirs."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.message import Command
from contracts.tasks.commands import AssignTask, CompleteTask, FailTask, RequestTask, TimeOutTask
from contracts.tasks.values import MAX_COUNT, ModelUsage, Requirement
from services.tasks.policies import attempts_left, holds_deadline, is_as_requested
from tests.unit.services.tasks.task_states import ATTEMPT, DEADLINE, REQUEST, SUBJECT, TASK, in_state

USAGE: dict[str, Any] = {"model": "rules", "calls": 1, "input_tokens": 0, "output_tokens": 0}
FAILED: dict[str, Any] = {**ATTEMPT, "error_type": "ModelUnavailable", "reason": "no answer"}


def takes(model: type[Command | ModelUsage | Requirement], fields: dict[str, Any]) -> bool:
    try:
        model(**fields)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("attempt", "limit", "left"), [(1, 1, False), (1, 2, True), (2, 2, False), (2, 3, True), (3, 3, False)])
def test_attempts_are_left_until_the_limit_is_reached(attempt: int, limit: int, left: bool) -> None:
    task = in_state("running").model_copy(update={"attempt": attempt, "max_attempts": limit})
    assert attempts_left(task) is left


@pytest.mark.parametrize(
    ("state", "held"),
    [("queued", False), ("assigned", True), ("running", True), ("queued again", False), ("succeeded", False), ("cancelled", False)],
)
def test_a_deadline_is_held_while_an_agent_has_the_attempt(state: str, held: bool) -> None:
    assert holds_deadline(in_state(state), DEADLINE) is held
    assert not holds_deadline(in_state(state), DEADLINE + timedelta(microseconds=1))


def test_a_task_stays_as_requested_whatever_became_of_it() -> None:
    assert is_as_requested(in_state("given up"), REQUEST)


@pytest.mark.parametrize(("field", "low", "high"), [("max_attempts", 1, 100), ("time_limit_seconds", 1, 604_800), ("priority", 1, 4)])
def test_a_requests_numbers_have_bounds(field: str, low: int, high: int) -> None:
    taken = [value for value in (low - 1, low, high, high + 1) if takes(RequestTask, {**SUBJECT, field: value})]
    assert taken == [low, high]


def test_a_request_without_them_has_three_attempts_of_five_minutes_and_medium_priority() -> None:
    command = RequestTask(**SUBJECT)
    assert (command.max_attempts, command.time_limit_seconds, command.priority) == (3, 300, 2)


@pytest.mark.parametrize(("level", "taken"), [(0, False), (1, True), (5, True), (6, False), (True, False), ("3", False)])
def test_a_requirement_asks_for_a_level_of_one_to_five(level: object, taken: bool) -> None:
    assert takes(Requirement, {"name": "billing", "level": level}) is taken


@pytest.mark.parametrize(("attempt", "taken"), [(0, False), (1, True), (True, False), (1.0, False)])
def test_attempts_count_from_one(attempt: object, taken: bool) -> None:
    assert takes(AssignTask, {**ATTEMPT, "attempt": attempt}) is taken


@pytest.mark.parametrize("field", ["calls", "input_tokens", "output_tokens"])
@pytest.mark.parametrize(("count", "taken"), [(-1, False), (0, True), (MAX_COUNT, True), (MAX_COUNT + 1, False)])
def test_a_usage_counts_what_a_column_holds(field: str, count: int, taken: bool) -> None:
    assert takes(ModelUsage, {**USAGE, field: count}) is taken
    assert takes(CompleteTask, {**ATTEMPT, "duration_ms": count}) is taken


@pytest.mark.parametrize(
    ("cost", "taken"),
    [
        ("0", True),
        ("0.000000150000000000000000000000000000000000000003", True),
        ("-0.01", False),
        ("1e-49", False),
        ("1e99", False),
        ("NaN", False),
    ],
)
def test_a_cost_is_a_number_that_a_column_holds(cost: str, taken: bool) -> None:
    assert takes(ModelUsage, {**USAGE, "cost": cost}) is taken


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "x" * 201])
def test_names_of_errors_and_models_are_short_and_without_control_characters(name: str) -> None:
    assert not takes(FailTask, {**FAILED, "error_type": name})
    assert not takes(ModelUsage, {**USAGE, "model": name})
    assert takes(FailTask, {**FAILED, "error_type": "x" * 200})
    assert takes(ModelUsage, {**USAGE, "model": "x" * 200})


def test_a_deadline_needs_its_time_zone() -> None:
    assert not takes(TimeOutTask, {**TASK, "due_at": "2026-05-04T09:35:00"})
