"""The state of an agent and how it follows from its events: state and event in, next state out; pure, run by the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

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
from contracts.ids import AgentId, TenantId
from contracts.json_object import EMPTY, JsonObject


class Agent(BaseModel):
    """An agent as its events made it. Frozen: a transition is a new value, and only `evolve` makes one."""

    model_config = ConfigDict(frozen=True)

    agent_id: AgentId
    tenant_id: TenantId
    name: str
    kind: str
    capabilities: tuple[Capability, ...]
    limit: int
    status: AgentStatus
    metadata: JsonObject = EMPTY
    created_at: AwareDatetime


class UnexpectedEvent(Exception):
    """The stream holds an event that cannot follow on this state: a defect, never a refusal."""


def evolve(agent: Agent | None, event: AgentEvent) -> Agent:
    """The state after the event. Raises UnexpectedEvent for an event that this code does not know, or that comes out of order."""
    if agent is None:
        if isinstance(event, AgentCreated):
            return _created(event)
        raise UnexpectedEvent(f"{type(event).__name__} is the first event of its stream")
    change = _CHANGES.get(type(event))
    if change is None:
        raise UnexpectedEvent(f"{type(event).__name__} cannot follow in the stream of an agent")
    return agent.model_copy(update=change(event))


def _created(event: AgentCreated) -> Agent:
    return Agent(
        agent_id=event.agent_id,
        tenant_id=event.tenant_id,
        name=event.name,
        kind=event.kind,
        capabilities=event.capabilities,
        limit=event.limit,
        status=AgentStatus.AVAILABLE,
        metadata=event.metadata,
        created_at=event.created_at,
    )


def _capabilities_changed(event: AgentCapabilitiesChanged) -> dict[str, Any]:
    return {"capabilities": event.capabilities}


def _becomes(status: AgentStatus) -> Callable[[AgentEvent], dict[str, Any]]:
    return lambda _: {"status": status}


_CHANGES: Mapping[type[AgentEvent], Callable[[Any], dict[str, Any]]] = {
    AgentCapabilitiesChanged: _capabilities_changed,
    AgentSuspended: _becomes(AgentStatus.SUSPENDED),
    AgentResumed: _becomes(AgentStatus.AVAILABLE),
    AgentDrained: _becomes(AgentStatus.DRAINING),
    AgentHealthCheckFailed: _becomes(AgentStatus.UNHEALTHY),
    AgentRecovered: _becomes(AgentStatus.AVAILABLE),
    AgentTerminated: _becomes(AgentStatus.TERMINATED),
}
