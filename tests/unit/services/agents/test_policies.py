"""The rules of agents at their boundaries, and the fields of their commands at theirs (AGT-02 to AGT-04)."""

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.agents.commands import ChangeAgentCapabilities, RegisterAgent
from contracts.agents.values import MAX_LIMIT, AgentStatus, Capability
from services.agents.policies import BECOMES_UNHEALTHY, DRAINS, RECOVERS, RESUMES, SUSPENDS, has_capability, same_capabilities
from tests.unit.services.agents.agent_states import AGENT, BILLING, REFUNDS, in_state

FIELDS: dict[str, Any] = {**AGENT, "name": "Ada", "kind": "triage-agent", "capabilities": (BILLING,)}
WRONG_TYPES = [True, "3", 3.0, None]


def takes(**changes: Any) -> bool:
    try:
        RegisterAgent(**{**FIELDS, **changes})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("level", "taken"), [(0, False), (1, True), (5, True), (6, False), *((each, False) for each in WRONG_TYPES)])
def test_a_capability_has_a_level_of_one_to_five(level: object, taken: bool) -> None:
    assert takes(capabilities=({"name": "billing", "level": level},)) is taken


@pytest.mark.parametrize(("length", "taken"), [(2, False), (3, True), (50, True), (51, False)])
def test_an_agents_id_has_three_to_fifty_characters(length: int, taken: bool) -> None:
    assert takes(agent_id="é" * length) is taken


@pytest.mark.parametrize("character", ["\0", "\n", "\x1f", "\x7f", "\x9f", "\ud800"])
def test_an_agents_id_has_no_control_characters_or_surrogates(character: str) -> None:
    assert not takes(agent_id=f"agent{character}")
    assert takes(agent_id="agent\xa0\u200b")


@pytest.mark.parametrize(("length", "taken"), [(0, False), (1, True), (100, True), (101, False)])
def test_a_name_has_one_to_a_hundred_characters(length: int, taken: bool) -> None:
    assert takes(name="é" * length) is taken


@pytest.mark.parametrize(("limit", "taken"), [(0, False), (1, True), (MAX_LIMIT, True), (MAX_LIMIT + 1, False)])
def test_a_limit_has_bounds(limit: int, taken: bool) -> None:
    assert takes(limit=limit) is taken


@pytest.mark.parametrize(("kind", "taken"), [("t", True), ("t" * 40, True), ("t" * 41, False), ("", False), ("9t", False), ("T", False)])
def test_a_kind_can_name_a_topic(kind: str, taken: bool) -> None:
    assert takes(kind=kind) is taken


def test_at_least_one_capability_is_given_and_there_is_no_upper_bound() -> None:
    assert not takes(capabilities=())
    assert takes(capabilities=[{"name": f"c{number}", "level": 1} for number in range(200)])


def test_a_capability_is_named_once() -> None:
    with pytest.raises(ValidationError, match="named once"):
        ChangeAgentCapabilities(**AGENT, capabilities=(BILLING, {**BILLING, "level": 4}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "level", "able"),
    [("billing", 1, True), ("billing", 3, True), ("billing", 4, False), ("Billing", 1, False), ("refunds", 5, True)],
)
def test_a_capability_is_asked_for_by_name_and_least_level(name: str, level: int, able: bool) -> None:
    assert has_capability(in_state("available"), name, level) is able


def test_a_capability_asked_for_without_a_level_may_have_any() -> None:
    assert has_capability(in_state("available"), "billing")
    assert not has_capability(in_state("available"), "legal")


def test_capabilities_are_the_same_in_any_order() -> None:
    billing, refunds = Capability(**BILLING), Capability(**REFUNDS)  # type: ignore[arg-type]
    assert same_capabilities((billing, refunds), (refunds, billing))
    assert not same_capabilities((billing, refunds), (billing,))


def test_no_order_begins_in_the_final_state() -> None:
    assert all(AgentStatus.TERMINATED not in states for states in (SUSPENDS, DRAINS, RESUMES, BECOMES_UNHEALTHY, RECOVERS))
