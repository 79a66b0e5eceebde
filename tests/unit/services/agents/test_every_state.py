"""Every command on an agent in every state: one table, and each of its cells is a test."""

import pytest

from contracts.agents.commands import COMMANDS
from contracts.errors import ResourceNotFound
from contracts.message import Command
from services.agents.handlers import DECISIONS
from tests.unit.services.agents.agent_states import (
    CHANGE,
    DRAIN,
    MARK_UNHEALTHY,
    PATHS,
    RECOVER,
    REGISTER,
    RESUME,
    SUSPEND,
    TERMINATE,
    answer,
    given,
    in_state,
    refused,
)

ROWS: dict[str, Command] = {
    "register": REGISTER,
    "register other": REGISTER.model_copy(update={"limit": 3}),
    "change": CHANGE,
    "change to same": CHANGE.model_copy(update={"capabilities": REGISTER.capabilities}),
    "suspend": SUSPEND,
    "drain": DRAIN,
    "resume": RESUME,
    "mark unhealthy": MARK_UNHEALTHY,
    "recover": RECOVER,
    "terminate": TERMINATE,
}
WORDS = {"gone": "RESOURCE_NOT_FOUND", "used": "agent_must_not_exist", "ended": "agent_terminated"}
TABLE = """
command        | absent    available  suspended  draining   unhealthy  terminated
register       | available -          -          -          -          ended
register other | available used       used       used       used       ended
change         | gone      available  suspended  draining   unhealthy  ended
change to same | gone      -          -          -          -          ended
suspend        | gone      suspended  -          suspended  suspended  ended
drain          | gone      draining   draining   -          draining   ended
resume         | gone      -          available  available  -          ended
mark unhealthy | gone      unhealthy  -          -          -          ended
recover        | gone      -          -          -          available  ended
terminate      | gone      terminated terminated terminated terminated -
"""


def cells() -> list[tuple[str, str, str]]:
    head, *lines = TABLE.strip().splitlines()
    states = head.split("|")[1].split()
    found = []
    for line in lines:
        row, words = line.split("|")
        found += [(row.strip(), state, WORDS.get(word, word)) for state, word in zip(states, words.split(), strict=True)]
    return found


def test_the_table_has_every_state_and_every_command() -> None:
    assert {state for _, state, _ in cells()} == set(PATHS)
    assert {row for row, _, _ in cells()} == set(ROWS)
    assert {type(command) for command in ROWS.values()} == set(COMMANDS) == set(DECISIONS)


@pytest.mark.parametrize(("row", "state", "expected"), cells())
def test_a_command_in_a_state_is_decided_as_the_table_says(row: str, state: str, expected: str) -> None:
    assert answer(given(*PATHS[state]), ROWS[row]) == expected


@pytest.mark.parametrize("row", [each for each in ROWS if not each.startswith("register")])
@pytest.mark.parametrize("state", PATHS)
def test_the_agent_of_another_tenant_is_not_found_in_whatever_state(state: str, row: str) -> None:
    strange = ROWS[row].model_copy(update={"tenant_id": "other-tenant"})
    error = refused(given(*PATHS[state]), strange)
    assert isinstance(error, ResourceNotFound)
    assert error.details == {"resource_type": "Agent", "resource_id": "agent-1"}
    assert error.to_error() == refused(None, strange).to_error()


@pytest.mark.parametrize("state", [each for each in PATHS if each != "absent"])
def test_the_id_of_another_tenants_agent_is_used_and_its_state_is_not_told(state: str) -> None:
    error = refused(in_state(state), REGISTER.model_copy(update={"tenant_id": "other-tenant"}))
    assert error.details == {"rule": "agent_must_not_exist"}
