"""Every command on a task in every state: one table, and each of its cells is a test."""

import pytest

from contracts.errors import ResourceNotFound
from contracts.message import Command
from contracts.tasks.commands import COMMANDS
from services.tasks.domain import Task
from services.tasks.handlers import DECISIONS
from tests.unit.services.tasks.task_states import (
    ASSIGN,
    ASSIGN_2,
    CANCEL,
    COMPLETE,
    COMPLETE_2,
    FAIL,
    FAIL_2,
    FAIL_FOR_GOOD,
    PATHS,
    PAUSE,
    PAUSE_2,
    REASSIGN,
    REASSIGN_2,
    REQUEST,
    RESUME,
    RESUME_2,
    START,
    START_2,
    TIME_OUT,
    answer,
    given,
    in_state,
    refused,
)

COLUMNS: dict[str, Command] = {
    "request": REQUEST,
    "request other": REQUEST.model_copy(update={"max_attempts": 5}),
    "assign 1": ASSIGN,
    "assign 2": ASSIGN_2,
    "start 1": START,
    "start 2": START_2,
    "complete 1": COMPLETE,
    "complete 2": COMPLETE_2,
    "fail 1": FAIL,
    "fail 2": FAIL_2,
    "fail 1 for good": FAIL_FOR_GOOD,
    "pause 1": PAUSE,
    "pause 2": PAUSE_2,
    "resume 1": RESUME,
    "resume 2": RESUME_2,
    "time out": TIME_OUT,
    "reassign 1": REASSIGN,
    "reassign 2": REASSIGN_2,
    "cancel": CANCEL,
}
WORDS = {
    "gone": "RESOURCE_NOT_FOUND",
    "used": "task_must_not_exist",
    "wait": "assignment_requires_queued",
    "agent": "not_assigned_to_agent",
    "stale": "STALE_ATTEMPT",
    "-": "-",
    "Queue": "TaskQueued",
    "Assign": "TaskAssigned",
    "Start": "TaskStarted",
    "Again": "TaskReassigned",
    "Done": "TaskCompleted",
    "Pause": "TaskPaused",
    "L+Again": "TaskTimedOut TaskReassigned",
    "L+Done": "TaskTimedOut TaskCompleted",
    "S+Done": "TaskCancelled TaskCompleted",
}
TABLE = """
state             | req   other asg1   asg2   sta1  sta2  com1  com2  fai1  fai2  fin1  pau1  pau2  res1  res2  late    rea1  rea2  cancel
absent            | Queue Queue gone   gone   gone  gone  gone  gone  gone  gone  gone  gone  gone  gone  gone  gone    gone  gone  gone
queued            | -     used  Assign stale  agent stale agent stale agent stale agent agent stale -     stale -       -     stale S+Done
assigned          | -     used  wait   stale  Start stale Done  stale Again stale Done  Pause stale -     stale L+Again Again stale S+Done
running           | -     used  wait   stale  -     stale Done  stale Again stale Done  Pause stale -     stale L+Again Again stale S+Done
queued again      | -     used  stale  Assign stale agent stale agent stale agent stale stale agent stale -     -       stale -     S+Done
paused            | -     used  wait   stale  stale stale stale stale stale stale stale -     stale Again stale -       -     stale S+Done
resumed           | -     used  stale  Assign stale agent stale agent stale agent stale stale agent stale -     -       stale -     S+Done
assigned last     | -     used  stale  wait   stale Start stale Done  stale Done  stale stale Pause stale -     L+Done  stale Done  S+Done
running last      | -     used  stale  wait   stale -     stale Done  stale Done  stale stale Pause stale -     L+Done  stale Done  S+Done
paused last       | -     used  stale  wait   stale stale stale stale stale stale stale stale -     stale Again -       stale -     S+Done
succeeded         | -     used  wait   stale  stale stale -     stale stale stale stale stale stale stale stale -       stale stale -
failed            | -     used  wait   stale  stale stale stale stale -     stale -     stale stale stale stale -       stale stale -
given up          | -     used  stale  wait   stale stale stale stale stale -     stale stale stale stale stale -       stale stale -
timed out         | -     used  stale  wait   stale stale stale stale stale stale stale stale stale stale stale -       stale stale -
cancelled         | -     used  wait   stale  stale stale stale stale -     stale -     stale stale stale stale -       stale stale -
cancelled waiting | -     used  wait   stale  agent stale agent stale agent stale agent agent stale stale stale -       stale stale -
cancelled paused  | -     used  wait   stale  stale stale stale stale -     stale -     stale stale stale stale -       stale stale -
"""


def cells() -> list[tuple[str, str, str]]:
    found = []
    for line in TABLE.strip().splitlines()[1:]:
        state, *groups = line.split("|")
        words = " ".join(groups).split()
        found += [(state.strip(), column, WORDS[word]) for column, word in zip(COLUMNS, words, strict=True)]
    return found


def state_of(name: str) -> Task | None:
    return given(*PATHS[name])


def test_the_table_has_every_state_and_every_command() -> None:
    assert {state for state, _, _ in cells()} == set(PATHS)
    assert {type(command) for command in COLUMNS.values()} == set(COMMANDS) == set(DECISIONS)


@pytest.mark.parametrize(("state", "column", "expected"), cells())
def test_a_command_in_a_state_is_decided_as_the_table_says(state: str, column: str, expected: str) -> None:
    assert answer(state_of(state), COLUMNS[column]) == expected


@pytest.mark.parametrize("column", [each for each in COLUMNS if not each.startswith("request")])
@pytest.mark.parametrize("state", PATHS)
def test_the_task_of_another_tenant_is_not_found_in_whatever_state(state: str, column: str) -> None:
    strange = COLUMNS[column].model_copy(update={"tenant_id": "other-tenant"})
    error = refused(state_of(state), strange)
    assert isinstance(error, ResourceNotFound)
    assert error.details == {"resource_type": "Task", "resource_id": "task-1"}
    assert error.to_error() == refused(None, strange).to_error()


@pytest.mark.parametrize("state", [each for each in PATHS if each != "absent"])
def test_the_id_of_another_tenants_task_is_used_even_with_the_same_fields(state: str) -> None:
    assert answer(in_state(state), REQUEST.model_copy(update={"tenant_id": "other-tenant"})) == "task_must_not_exist"


@pytest.mark.parametrize("command", [START, COMPLETE, FAIL, FAIL_FOR_GOOD, PAUSE])
@pytest.mark.parametrize("state", ["queued", "assigned", "running", "paused", "succeeded", "failed", "cancelled", "cancelled waiting"])
def test_another_agent_has_no_say_in_whatever_state(state: str, command: Command) -> None:
    assert answer(in_state(state), command.model_copy(update={"agent_id": "agent-2"})) == "not_assigned_to_agent"


@pytest.mark.parametrize("command", [START, COMPLETE, FAIL, FAIL_FOR_GOOD, PAUSE])
def test_another_attempt_is_stale_before_it_is_another_agents(command: Command) -> None:
    late = command.model_copy(update={"agent_id": "agent-2", "attempt": 1})
    assert answer(in_state("running last"), late) == "STALE_ATTEMPT"


@pytest.mark.parametrize("command", [ASSIGN, START, COMPLETE, FAIL, PAUSE, RESUME, REASSIGN])
def test_an_attempt_that_has_not_come_yet_is_as_stale_as_one_that_is_over(command: Command) -> None:
    assert answer(in_state("running"), command.model_copy(update={"attempt": 9})) == "STALE_ATTEMPT"
