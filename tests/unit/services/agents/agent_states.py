"""Agents in every state that the tests start from, made by the commands that lead there, and short ways to ask for a decision."""

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.agents.commands import (
    ChangeAgentCapabilities,
    DrainAgent,
    MarkAgentUnhealthy,
    RecoverAgent,
    RegisterAgent,
    ResumeAgent,
    SuspendAgent,
    TerminateAgent,
)
from contracts.agents.events import AgentEvent
from contracts.errors import DomainError
from contracts.message import Command
from infra.runtime.base import DecisionContext
from services.agents.domain import Agent, evolve
from services.agents.handlers import DECISIONS

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
CONTEXT = DecisionContext(NOW, NOW, "test-tenant", "user", "u-1", "c-1")
AGENT: dict[str, Any] = {"tenant_id": "test-tenant", "agent_id": "agent-1"}
BILLING = {"name": "billing", "level": 3}
REFUNDS = {"name": "refunds", "level": 5}

REGISTER = RegisterAgent(
    **AGENT,
    name="Ada",
    kind="triage-agent",
    capabilities=(BILLING, REFUNDS),  # type: ignore[arg-type]
    limit=2,
    metadata={"team": "north"},
)
CHANGE = ChangeAgentCapabilities(**AGENT, capabilities=(BILLING,))  # type: ignore[arg-type]
SUSPEND = SuspendAgent(**AGENT, reason="under review")
RESUME = ResumeAgent(**AGENT)
DRAIN = DrainAgent(**AGENT, reason="makes room")
TERMINATE = TerminateAgent(**AGENT, reason="not needed")
MARK_UNHEALTHY = MarkAgentUnhealthy(**AGENT, failure_reason="no_live_host")
RECOVER = RecoverAgent(**AGENT)

PATHS: dict[str, list[Command]] = {
    "absent": [],
    "available": [REGISTER],
    "suspended": [REGISTER, SUSPEND],
    "draining": [REGISTER, DRAIN],
    "unhealthy": [REGISTER, MARK_UNHEALTHY],
    "terminated": [REGISTER, TERMINATE],
}


def decide(agent: Agent | None, command: Command) -> tuple[AgentEvent, ...]:
    return DECISIONS[type(command)](agent, command, CONTEXT)  # type: ignore[return-value]


def given(*commands: Command) -> Agent | None:
    """The state after commands that must succeed and change something."""
    agent: Agent | None = None
    for command in commands:
        (event,) = decide(agent, command)
        agent = evolve(agent, event)
    return agent


def in_state(name: str) -> Agent:
    agent = given(*PATHS[name])
    assert agent is not None
    assert agent.status == name
    return agent


def refused(agent: Agent | None, command: Command) -> DomainError:
    with pytest.raises(DomainError) as caught:
        decide(agent, command)
    return caught.value


def answer(agent: Agent | None, command: Command) -> str:
    """The decision in a word: the state that follows, `-` for nothing to change, the code or the broken rule of a refusal."""
    try:
        events = decide(agent, command)
    except DomainError as error:
        return str(error.details["rule"]) if error.code == "BUSINESS_RULE_VIOLATION" else error.code
    for event in events:
        agent = evolve(agent, event)
    return str(agent.status) if agent and events else "-"
