"""The named rules of agents: an agent in, yes or no out, and from which states a command changes something; pure, asked by the handlers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from contracts.agents.commands import RegisterAgent
from contracts.agents.values import AgentStatus, Capability
from services.agents.domain import Agent

AGENT_MUST_NOT_EXIST = "agent_must_not_exist"
AGENT_TERMINATED = "agent_terminated"

# In its other states an agent is already as the command wants it, or there is nothing to undo: the command changes nothing.
SUSPENDS = frozenset({AgentStatus.AVAILABLE, AgentStatus.UNHEALTHY, AgentStatus.DRAINING})
DRAINS = frozenset({AgentStatus.AVAILABLE, AgentStatus.UNHEALTHY, AgentStatus.SUSPENDED})
RESUMES = frozenset({AgentStatus.SUSPENDED, AgentStatus.DRAINING})
# A finding about health never overrides the order of a person: a suspended or draining agent stays what it is.
BECOMES_UNHEALTHY = frozenset({AgentStatus.AVAILABLE})
RECOVERS = frozenset({AgentStatus.UNHEALTHY})


def has_capability(agent: Agent, name: str, level: int = 1) -> bool:
    """AGT-04: the agent can do this, and at least at this level."""
    return any(capability.name == name and capability.level >= level for capability in agent.capabilities)


def same_capabilities(one: Iterable[Capability], other: Iterable[Capability]) -> bool:
    """Both name the same capabilities at the same levels; their order says nothing."""
    return set(one) == set(other)


def is_as_registered(agent: Agent, command: RegisterAgent) -> bool:
    """The command asks for the agent that is there now."""
    return (
        (agent.name, agent.kind, agent.limit) == (command.name, command.kind, command.limit)
        and same_capabilities(agent.capabilities, command.capabilities)
        and _canonical(agent.metadata) == _canonical(command.metadata)
    )


def _canonical(value: Mapping[str, Any]) -> str:
    """JSON for comparing: in Python 1 equals true and 1.0, in JSON text it does not."""
    return json.dumps(value, sort_keys=True)
