"""What the events of an agent say: given its history, when a command comes, then exactly these facts."""

from typing import Any

import pytest

from contracts.agents.events import (
    AgentCapabilitiesChanged,
    AgentCreated,
    AgentDrained,
    AgentEvent,
    AgentHealthCheckFailed,
    AgentRecovered,
    AgentResumed,
    AgentSuspended,
    AgentTerminated,
)
from contracts.agents.values import AgentStatus, Capability
from contracts.errors import BusinessRuleViolation
from contracts.message import Command
from services.agents.domain import UnexpectedEvent, evolve
from tests.unit.services.agents.agent_states import (
    AGENT,
    BILLING,
    CHANGE,
    DRAIN,
    MARK_UNHEALTHY,
    NOW,
    PATHS,
    RECOVER,
    REFUNDS,
    REGISTER,
    RESUME,
    SUSPEND,
    TERMINATE,
    answer,
    decide,
    given,
    in_state,
    refused,
)

CAPABILITIES = (Capability(**BILLING), Capability(**REFUNDS))  # type: ignore[arg-type]


def test_a_registered_agent_is_available_with_all_that_was_said_of_it() -> None:
    fields: dict[str, Any] = {"name": "Ada", "kind": "triage-agent", "limit": 2, "metadata": {"team": "north"}}
    assert decide(None, REGISTER) == (AgentCreated(**AGENT, **fields, capabilities=CAPABILITIES, created_at=NOW),)
    agent = in_state("available")
    assert agent.model_dump() == {
        **AGENT,
        **fields,
        "capabilities": (BILLING, REFUNDS),
        "status": AgentStatus.AVAILABLE,
        "created_at": NOW,
    }


def test_metadata_and_limit_have_defaults() -> None:
    agent = given(type(REGISTER)(**AGENT, name="Ada", kind="triage-agent", capabilities=CAPABILITIES))
    assert agent is not None
    assert (agent.metadata, agent.limit) == ({}, 1)


@pytest.mark.parametrize(
    ("state", "command", "event"),
    [
        ("available", CHANGE, AgentCapabilitiesChanged(**AGENT, capabilities=CAPABILITIES[:1], changed_at=NOW)),
        ("available", SUSPEND, AgentSuspended(**AGENT, reason="under review", suspended_at=NOW)),
        ("suspended", RESUME, AgentResumed(**AGENT, resumed_at=NOW)),
        ("available", DRAIN, AgentDrained(**AGENT, reason="makes room", drained_at=NOW)),
        ("available", MARK_UNHEALTHY, AgentHealthCheckFailed(**AGENT, failure_reason="no_live_host", failed_at=NOW)),
        ("unhealthy", RECOVER, AgentRecovered(**AGENT, recovered_at=NOW)),
        ("available", TERMINATE, AgentTerminated(**AGENT, reason="not needed", terminated_at=NOW)),
    ],
)
def test_each_command_records_its_fact(state: str, command: Command, event: AgentEvent) -> None:
    assert decide(in_state(state), command) == (event,)


@pytest.mark.parametrize("state", [each for each in PATHS if each not in ("absent", "terminated")])
@pytest.mark.parametrize("command", [SUSPEND, DRAIN, RESUME, MARK_UNHEALTHY, RECOVER, TERMINATE])
def test_a_transition_changes_the_status_and_nothing_else(state: str, command: Command) -> None:
    before = in_state(state)
    for event in decide(before, command):
        after = evolve(before, event)
        assert after.model_copy(update={"status": before.status}) == before
        assert before == in_state(state)


def test_changed_capabilities_replace_the_earlier_ones_and_leave_the_status() -> None:
    agent = given(REGISTER, SUSPEND, CHANGE)
    assert agent is not None
    assert (agent.capabilities, agent.status) == (CAPABILITIES[:1], AgentStatus.SUSPENDED)


def test_the_order_of_capabilities_is_no_change_and_another_level_is_one() -> None:
    turned = {"capabilities": CAPABILITIES[::-1]}
    assert decide(in_state("available"), CHANGE.model_copy(update=turned)) == ()
    assert decide(in_state("available"), REGISTER.model_copy(update=turned)) == ()
    higher = {"capabilities": (Capability(name="billing", level=4), CAPABILITIES[1])}
    assert answer(in_state("available"), CHANGE.model_copy(update=higher)) == "available"
    assert answer(in_state("available"), REGISTER.model_copy(update=higher)) == "agent_must_not_exist"


@pytest.mark.parametrize(
    "change",
    [{"name": "Bob"}, {"kind": "research-agent"}, {"capabilities": CAPABILITIES[:1]}, {"limit": 1}, {"metadata": {}}],
)
def test_the_same_id_for_another_agent_is_refused_whichever_field_differs(change: dict[str, Any]) -> None:
    error = refused(in_state("available"), REGISTER.model_copy(update=change))
    assert isinstance(error, BusinessRuleViolation)
    assert error.rule == "agent_must_not_exist"


def test_a_registration_is_compared_with_the_agent_as_it_is_now() -> None:
    agent = given(REGISTER, CHANGE)
    assert answer(agent, REGISTER) == "agent_must_not_exist"
    assert answer(agent, REGISTER.model_copy(update={"capabilities": CAPABILITIES[:1]})) == "-"


def test_metadata_of_another_json_type_is_other_metadata() -> None:
    agent = given(REGISTER.model_copy(update={"metadata": {"a": 1, "b": 2}}))
    assert answer(agent, REGISTER.model_copy(update={"metadata": {"b": 2, "a": 1}})) == "-"
    assert answer(agent, REGISTER.model_copy(update={"metadata": {"a": True, "b": 2}})) == "agent_must_not_exist"


def test_a_refusal_of_a_terminated_agent_says_so() -> None:
    error = refused(in_state("terminated"), RESUME)
    assert error.to_error() == {
        "error_type": "BusinessRuleViolation",
        "message": "The agent is terminated for good.",
        "code": "BUSINESS_RULE_VIOLATION",
        "details": {"rule": "agent_terminated", "status": "terminated"},
    }


def test_the_state_cannot_be_changed_in_place() -> None:
    agent = in_state("available")
    with pytest.raises(ValueError, match="frozen"):
        agent.status = AgentStatus.TERMINATED  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        agent.capabilities[0].level = 1
    with pytest.raises(TypeError):
        agent.metadata["team"] = "south"  # type: ignore[index]


def test_an_event_out_of_order_is_a_defect_and_no_refusal() -> None:
    (created,) = decide(None, REGISTER)
    with pytest.raises(UnexpectedEvent, match="first event"):
        evolve(None, AgentResumed(**AGENT, resumed_at=NOW))
    with pytest.raises(UnexpectedEvent, match="cannot follow"):
        evolve(in_state("available"), created)
