"""Questions about agents and their answers, from the read model; all that CLI and gateway may import of it. Every query that answers
agents is of one tenant."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from contracts.agents.values import AgentStatus, Capability
from infra.postgres.base import QueryPort

COLUMNS = """agent_id, tenant_id, name, kind, capabilities::text, task_limit, status, reason, metadata::text, created_at, updated_at,
version, position"""
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
    after: tuple[datetime, str] | None = None


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
    rows = await port.fetch(
        f"SELECT {COLUMNS} FROM read_agents.agents WHERE agent_id = %(id)s AND tenant_id = %(tenant)s".encode(),  # nosec B608
        {"id": query.agent_id, "tenant": query.tenant_id},
    )
    return _view(rows[0]) if rows else None


async def list_agents(port: QueryPort, query: ListAgents) -> list[AgentView]:
    """A page of agents."""
    filters = ["tenant_id = %(tenant)s"]
    parameters: dict[str, Any] = {"tenant": query.tenant_id, "limit": query.limit}
    for column, wanted in (("status", query.status), ("kind", query.kind)):
        if wanted is not None:
            filters.append(f"{column} = %({column})s")
            parameters[column] = wanted
    if query.after is not None:
        filters.append("(created_at, agent_id) < (%(after_time)s, %(after_id)s)")
        parameters["after_time"], parameters["after_id"] = query.after
    rows = await port.fetch(
        f"SELECT {COLUMNS} FROM read_agents.agents WHERE {' AND '.join(filters)} "  # nosec B608 - fixed fragments
        "ORDER BY created_at DESC, agent_id DESC LIMIT %(limit)s".encode(),
        parameters,
    )
    return [_view(row) for row in rows]


async def agent_version(port: QueryPort, agent_id: str) -> int:
    """The stream version that the read model shows of an agent; 0 when it has no row yet."""
    rows = await port.fetch(b"SELECT version FROM read_agents.agents WHERE agent_id = %(id)s", {"id": agent_id})
    return int(rows[0][0]) if rows else 0


def _view(row: Any) -> AgentView:
    values = dict(zip(AgentView.model_fields, row, strict=True))
    return AgentView(**{**values, "capabilities": json.loads(values["capabilities"]), "metadata": json.loads(values["metadata"])})
