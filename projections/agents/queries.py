"""Questions about agents and their answers, from the read model; all that CLI and gateway may import of it. Every query that answers
agents is of one tenant."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from contracts.agents.values import AgentStatus, Capability
from infra.postgres.base import QueryPort
from projections.listing import After, Listing

COLUMNS = """agent_id, tenant_id, name, kind, capabilities::text, task_limit, status, reason, metadata::text, created_at, updated_at,
version, position"""
LISTING = Listing("read_agents.agents", COLUMNS, id="agent_id", time="created_at")
BUSY = "busy"
"""Shown of an available agent without a free slot; never stored (AGT-10a)."""


class GetAgent(BaseModel):
    """One agent of a tenant (AGT-24)."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    agent_id: str


class ListAgents(BaseModel):
    """Agents of a tenant, newest first; what is None does not filter. `status` is the stored one, so available agents may be busy.
    `after` is the last row of the page before."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    status: str | None = None
    kind: str | None = None
    limit: int = 100
    after: After | None = None


class AgentView(BaseModel):
    """An agent as the read model shows it; `version` is that of the stream it reflects, `reason` that of its last change of status."""

    model_config = ConfigDict(frozen=True)

    agent_id: str
    tenant_id: str
    name: str
    kind: str
    capabilities: tuple[Capability, ...]
    task_limit: int
    status: str
    reason: str | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    version: int
    position: int


def shown_status(agent: AgentView, open_assignments: int) -> str:
    """The status that people see: busy where an available agent holds as many tasks as it may."""
    full = open_assignments >= agent.task_limit
    return BUSY if full and agent.status == AgentStatus.AVAILABLE else agent.status


async def get_agent(port: QueryPort, query: GetAgent) -> AgentView | None:
    """The agent, or None when this tenant has none with that id."""
    row = await LISTING.find(port, query.tenant_id, query.agent_id)
    return None if row is None else _view(row)


async def list_agents(port: QueryPort, query: ListAgents) -> list[AgentView]:
    """A page of agents."""
    wanted = {"status": query.status, "kind": query.kind}
    return [_view(row) for row in await LISTING.page(port, query.tenant_id, query.limit, query.after, **wanted)]


async def agent_version(port: QueryPort, agent_id: str) -> int:
    """The stream version that the read model shows of an agent; 0 when it has no row yet."""
    return await LISTING.version(port, agent_id)


def _view(row: Any) -> AgentView:
    values = dict(zip(AgentView.model_fields, row, strict=True))
    return AgentView(**{**values, "capabilities": json.loads(values["capabilities"]), "metadata": json.loads(values["metadata"])})
