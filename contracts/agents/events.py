"""The events of the agents context: facts, stored and published in the same class; no event of this context is private."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime

from contracts.agents.values import Capability
from contracts.ids import AgentId
from contracts.json_object import EMPTY, JsonObject
from contracts.message import Event


class AgentEvent(Event):
    """What every event about an agent has."""

    context: ClassVar[str] = "agents"
    aggregate_field: ClassVar[str] = "agent_id"

    agent_id: AgentId


class AgentCreated(AgentEvent):
    """An agent is known and available."""

    type_name: ClassVar[str] = "agentmesh.agents.AgentCreated.v1"

    name: str
    kind: str
    capabilities: tuple[Capability, ...]
    limit: int
    metadata: JsonObject = EMPTY
    created_at: AwareDatetime


class AgentCapabilitiesChanged(AgentEvent):
    """What the agent can do was replaced."""

    type_name: ClassVar[str] = "agentmesh.agents.AgentCapabilitiesChanged.v1"

    capabilities: tuple[Capability, ...]
    changed_at: AwareDatetime


class AgentSuspended(AgentEvent):
    """The agent takes no new task until it is resumed."""

    type_name: ClassVar[str] = "agentmesh.agents.AgentSuspended.v1"

    reason: str | None = None
    suspended_at: AwareDatetime


class AgentResumed(AgentEvent):
    """The agent takes tasks again."""

    type_name: ClassVar[str] = "agentmesh.agents.AgentResumed.v1"

    resumed_at: AwareDatetime


class AgentDrained(AgentEvent):
    """The agent takes no new task, for good unless it is resumed."""

    type_name: ClassVar[str] = "agentmesh.agents.AgentDrained.v1"

    reason: str | None = None
    drained_at: AwareDatetime


class AgentHealthCheckFailed(AgentEvent):
    """The agent does not answer; it is not selected until it recovers."""

    type_name: ClassVar[str] = "agentmesh.agents.AgentHealthCheckFailed.v1"

    failure_reason: str
    failed_at: AwareDatetime


class AgentRecovered(AgentEvent):
    """A host answers for the agent again."""

    type_name: ClassVar[str] = "agentmesh.agents.AgentRecovered.v1"

    recovered_at: AwareDatetime


class AgentTerminated(AgentEvent):
    """The agent is gone for good; its history stays."""

    type_name: ClassVar[str] = "agentmesh.agents.AgentTerminated.v1"

    reason: str | None = None
    terminated_at: AwareDatetime


EVENTS: tuple[type[AgentEvent], ...] = (
    AgentCreated,
    AgentCapabilitiesChanged,
    AgentSuspended,
    AgentResumed,
    AgentDrained,
    AgentHealthCheckFailed,
    AgentRecovered,
    AgentTerminated,
)
