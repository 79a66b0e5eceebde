"""Rows of the read model `agents` in, what callers read of an agent out, as v1 and as v2 show it, with links that fit status and role."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from contracts.agents.values import AgentStatus, Capability
from infra.identity.base import Permission
from projections.agents.queries import BUSY, ShownAgent
from services.gateway.linked import Link, Linked, May, Page

V1_PATH = "/api/v1/agents"
V2_PATH = "/api/v2/agents"
# An order is offered where it would change something.
SUSPENDABLE = frozenset({AgentStatus.AVAILABLE, BUSY, AgentStatus.UNHEALTHY, AgentStatus.DRAINING})
DRAINABLE = frozenset({AgentStatus.AVAILABLE, BUSY, AgentStatus.UNHEALTHY, AgentStatus.SUSPENDED})
RESUMABLE = frozenset({AgentStatus.SUSPENDED, AgentStatus.DRAINING})


class AgentV1(Linked):
    """An agent as v1 shows it (API-16)."""

    agent_id: str
    name: str
    status: str = Field(description="available, busy (no free slot), suspended, draining, unhealthy or terminated.")
    capabilities: tuple[Capability, ...]
    created_at: datetime


class AgentEnvelope(BaseModel):
    """One agent in the envelope of v1. Errors have the form of all errors."""

    success: bool = True
    data: AgentV1
    error: None = None


class AgentRepresentation(AgentV1):
    """An agent as v2 shows it: all that the read model knows."""

    kind: str = Field(description="What code runs it.")
    limit: int = Field(description="How many tasks it runs at a time.")
    open_tasks: int = Field(description="How many it holds now.")
    reason: str | None = Field(description="Of its last change of status.")
    metadata: dict[str, Any]
    updated_at: datetime
    version: int = Field(description="The version of the agent's stream; also the ETag.")
    position: str = Field(description="The event that this shows, as `context:position`.")


class AgentPage(Page[AgentRepresentation]):
    """A page of agents."""


def links_of(base_url: str, path: str, view: ShownAgent, may: May) -> dict[str, Link]:
    """What this caller can do with the agent now."""
    href = f"{base_url}{path}/{view.agent_id}"
    status = view.shown_status
    links = {"self": Link(href=href, rel="self", description="This agent.")}
    orders = {
        "suspend": (status in SUSPENDABLE, "Give it no new task until it is resumed."),
        "resume": (status in RESUMABLE, "Let it take tasks again."),
        "drain": (status in DRAINABLE, "Give it no new task, so that it can be taken away."),
    }
    if may(Permission.AGENT_MANAGE):
        links |= {
            name: Link(href=f"{href}/{name}", rel=name, method="POST", description=text)
            for name, (offered, text) in orders.items()
            if offered
        }
        if status != AgentStatus.TERMINATED:
            links["capabilities"] = Link(
                href=f"{href}/capabilities", rel="capabilities", method="PUT", description="Replace what it can do."
            )
    if may(Permission.AGENT_TERMINATE) and status != AgentStatus.TERMINATED:
        links["terminate"] = Link(href=href, rel="terminate", method="DELETE", description="End it for good.")
    return links


def represent_v1(base_url: str, view: ShownAgent, may: May) -> AgentV1:
    """The agent as v1 shows it to this caller."""
    return AgentV1(
        agent_id=view.agent_id,
        name=view.name,
        status=view.shown_status,
        capabilities=view.capabilities,
        created_at=view.created_at,
        links=links_of(base_url, V1_PATH, view, may),
    )


def represent(base_url: str, view: ShownAgent, may: May) -> AgentRepresentation:
    """The agent as v2 shows it to this caller."""
    return AgentRepresentation(
        agent_id=view.agent_id,
        name=view.name,
        status=view.shown_status,
        capabilities=view.capabilities,
        created_at=view.created_at,
        kind=view.kind,
        limit=view.task_limit,
        open_tasks=view.open_tasks,
        reason=view.reason,
        metadata=view.metadata,
        updated_at=view.updated_at,
        version=view.version,
        position=f"agents:{view.position}",
        links=links_of(base_url, V2_PATH, view, may),
    )
