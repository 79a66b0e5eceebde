"""The decisions of the agents context: state, command and context in, events or a refusal out; pure, run by the command worker."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.agents.commands import (
    AgentCommand,
    ChangeAgentCapabilities,
    DrainAgent,
    MarkAgentUnhealthy,
    RecoverAgent,
    RegisterAgent,
    ResumeAgent,
    SuspendAgent,
    TerminateAgent,
)
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
from contracts.agents.values import AgentStatus
from contracts.errors import BusinessRuleViolation, ResourceNotFound
from contracts.message import Command
from infra.runtime.base import Decide, DecisionContext
from services.agents.domain import Agent
from services.agents.policies import (
    AGENT_MUST_NOT_EXIST,
    AGENT_TERMINATED,
    BECOMES_UNHEALTHY,
    DRAINS,
    RECOVERS,
    RESUMES,
    SUSPENDS,
    is_as_registered,
    same_capabilities,
)

Events = tuple[AgentEvent, ...]


def register_agent(agent: Agent | None, command: RegisterAgent, context: DecisionContext) -> Events:
    """Make the agent known. Registering it as it is changes nothing; the id of another agent, of whichever tenant, is refused."""
    if agent is not None:
        return _registered_again(agent, command)
    created = AgentCreated(
        tenant_id=command.tenant_id,
        agent_id=command.agent_id,
        name=command.name,
        kind=command.kind,
        capabilities=command.capabilities,
        limit=command.limit,
        metadata=command.metadata,
        created_at=context.now,
    )
    return (created,)


def change_agent_capabilities(agent: Agent | None, command: ChangeAgentCapabilities, context: DecisionContext) -> Events:
    """Replace what the agent can do, in any state but the final one."""
    found = _in_service(agent, command)
    if same_capabilities(found.capabilities, command.capabilities):
        return ()
    changed = AgentCapabilitiesChanged(
        tenant_id=found.tenant_id, agent_id=found.agent_id, capabilities=command.capabilities, changed_at=context.now
    )
    return (changed,)


def suspend_agent(agent: Agent | None, command: SuspendAgent, context: DecisionContext) -> Events:
    """Give the agent no new task until it is resumed."""
    found = _in_service(agent, command)
    if found.status not in SUSPENDS:
        return ()
    return (AgentSuspended(tenant_id=found.tenant_id, agent_id=found.agent_id, reason=command.reason, suspended_at=context.now),)


def resume_agent(agent: Agent | None, command: ResumeAgent, context: DecisionContext) -> Events:
    """Undo a suspension or a drain. It heals nothing: an unhealthy agent stays so until a host answers for it."""
    found = _in_service(agent, command)
    if found.status not in RESUMES:
        return ()
    return (AgentResumed(tenant_id=found.tenant_id, agent_id=found.agent_id, resumed_at=context.now),)


def drain_agent(agent: Agent | None, command: DrainAgent, context: DecisionContext) -> Events:
    """Give the agent no new task, so that it can be taken away."""
    found = _in_service(agent, command)
    if found.status not in DRAINS:
        return ()
    return (AgentDrained(tenant_id=found.tenant_id, agent_id=found.agent_id, reason=command.reason, drained_at=context.now),)


def terminate_agent(agent: Agent | None, command: TerminateAgent, context: DecisionContext) -> Events:
    """End the agent, from any state; ending it again changes nothing."""
    found = _existing(agent, command)
    if found.status is AgentStatus.TERMINATED:
        return ()
    return (AgentTerminated(tenant_id=found.tenant_id, agent_id=found.agent_id, reason=command.reason, terminated_at=context.now),)


def mark_agent_unhealthy(agent: Agent | None, command: MarkAgentUnhealthy, context: DecisionContext) -> Events:
    """The agent does not answer; only one that takes tasks is marked."""
    found = _in_service(agent, command)
    if found.status not in BECOMES_UNHEALTHY:
        return ()
    failed = AgentHealthCheckFailed(
        tenant_id=found.tenant_id, agent_id=found.agent_id, failure_reason=command.failure_reason, failed_at=context.now
    )
    return (failed,)


def recover_agent(agent: Agent | None, command: RecoverAgent, context: DecisionContext) -> Events:
    """A host answers for the unhealthy agent again."""
    found = _in_service(agent, command)
    if found.status not in RECOVERS:
        return ()
    return (AgentRecovered(tenant_id=found.tenant_id, agent_id=found.agent_id, recovered_at=context.now),)


def _registered_again(agent: Agent, command: RegisterAgent) -> Events:
    if agent.tenant_id == command.tenant_id:
        _refuse_terminated(agent)
        if is_as_registered(agent, command):
            return ()
    raise BusinessRuleViolation("Another agent with this id exists already.", rule=AGENT_MUST_NOT_EXIST)


def _existing(agent: Agent | None, command: AgentCommand) -> Agent:
    """AGT-24: the agent, if it is there and the tenant's own; to other tenants it does not exist."""
    if agent is None or agent.tenant_id != command.tenant_id:
        raise ResourceNotFound("Agent", command.agent_id)
    return agent


def _in_service(agent: Agent | None, command: AgentCommand) -> Agent:
    found = _existing(agent, command)
    _refuse_terminated(found)
    return found


def _refuse_terminated(agent: Agent) -> None:
    if agent.status is AgentStatus.TERMINATED:
        raise BusinessRuleViolation("The agent is terminated for good.", rule=AGENT_TERMINATED, details={"status": agent.status.value})


DECISIONS: Mapping[type[Command], Decide] = {
    RegisterAgent: register_agent,
    ChangeAgentCapabilities: change_agent_capabilities,
    SuspendAgent: suspend_agent,
    ResumeAgent: resume_agent,
    DrainAgent: drain_agent,
    TerminateAgent: terminate_agent,
    MarkAgentUnhealthy: mark_agent_unhealthy,
    RecoverAgent: recover_agent,
}
