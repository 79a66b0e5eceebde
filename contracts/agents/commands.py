"""The commands of the agents context: orders of developers and operators, and the dispatcher's findings about an agent's health."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from contracts.agents.values import AgentKind, AgentName, Capabilities, Limit, ValidAgentId
from contracts.fields import Metadata, Reason
from contracts.json_object import EMPTY
from contracts.message import Command


class AgentCommand(Command):
    """What every command about an agent has."""

    context: ClassVar[str] = "agents"
    aggregate_field: ClassVar[str] = "agent_id"

    agent_id: ValidAgentId


class RegisterAgent(AgentCommand):
    """Make an agent known. Registering it again with the same fields changes nothing; with others it is refused."""

    type_name: ClassVar[str] = "agentmesh.agents.RegisterAgent.v1"

    name: AgentName
    kind: AgentKind
    capabilities: Capabilities
    limit: Limit = 1
    metadata: Metadata = Field(default=EMPTY, json_schema_extra={"type": ["object", "null"]})


class ChangeAgentCapabilities(AgentCommand):
    """Replace what the agent can do."""

    type_name: ClassVar[str] = "agentmesh.agents.ChangeAgentCapabilities.v1"

    capabilities: Capabilities


class SuspendAgent(AgentCommand):
    """Give the agent no new task until it is resumed; what it runs goes on."""

    type_name: ClassVar[str] = "agentmesh.agents.SuspendAgent.v1"

    reason: Reason | None = None


class ResumeAgent(AgentCommand):
    """Let a suspended or draining agent take tasks again."""

    type_name: ClassVar[str] = "agentmesh.agents.ResumeAgent.v1"


class DrainAgent(AgentCommand):
    """Give the agent no new task, so that it can be taken away when what it runs has ended."""

    type_name: ClassVar[str] = "agentmesh.agents.DrainAgent.v1"

    reason: Reason | None = None


class TerminateAgent(AgentCommand):
    """End the agent for good, from any state; what it runs is given to others."""

    type_name: ClassVar[str] = "agentmesh.agents.TerminateAgent.v1"

    reason: Reason | None = None


class MarkAgentUnhealthy(AgentCommand):
    """The agent does not answer: no host of its kind is live, or its runs' leases expired again and again."""

    type_name: ClassVar[str] = "agentmesh.agents.MarkAgentUnhealthy.v1"

    failure_reason: Reason


class RecoverAgent(AgentCommand):
    """A host answers for the unhealthy agent again."""

    type_name: ClassVar[str] = "agentmesh.agents.RecoverAgent.v1"


COMMANDS: tuple[type[AgentCommand], ...] = (
    RegisterAgent,
    ChangeAgentCapabilities,
    SuspendAgent,
    ResumeAgent,
    DrainAgent,
    TerminateAgent,
    MarkAgentUnhealthy,
    RecoverAgent,
)
