"""Questions about agents and their answers, from the read model; all that services may import of it. Every query that answers agents is
of one tenant; only the dispatcher's own question is of all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from contracts.agents.values import AgentStatus, Capability
from infra.postgres.base import QueryPort
from projections.listing import After, Listing, Slice

COLUMNS = """agent_id, tenant_id, name, kind, capabilities::text, task_limit, status, reason, metadata::text, created_at, updated_at,
version, position"""
LISTING = Listing("read_agents.agents", COLUMNS, id="agent_id", time="created_at")
BUSY = "busy"
"""Shown of an available agent without a free slot; never stored (AGT-10a)."""

# What an agent holds is in the read model `tasks`; its small index of open tasks finds it.
SHOWN = f"""
SELECT {COLUMNS}, held FROM read_agents.agents a, LATERAL (
    SELECT count(*) AS held FROM read_tasks.tasks t
    WHERE t.tenant_id = a.tenant_id AND t.agent_id = a.agent_id AND t.status IN ('assigned', 'running')
) h WHERE a.tenant_id = %(tenant)s"""  # nosec B608 - fixed names
HAS_CAPABILITY = "capabilities @> jsonb_build_array(jsonb_build_object('name', %(capability)s::text))"
# Busy is an available agent without a free slot, so these two are not what is stored.
IN_STATUS: Mapping[str, str] = {
    AgentStatus.AVAILABLE: "a.status = 'available' AND held < task_limit",
    BUSY: "a.status = 'available' AND held >= task_limit",
}

SHOWN_STATUSES = ("available", BUSY, "suspended", "draining", "unhealthy", "terminated")
COUNTS = b"""
SELECT a.kind, CASE WHEN a.status = 'available' AND coalesce(h.held, 0) >= a.task_limit THEN 'busy' ELSE a.status END, count(*)::int,
       coalesce(sum(h.held), 0)::int, coalesce(sum(a.task_limit) FILTER (WHERE a.status = 'available'), 0)::int
FROM read_agents.agents a LEFT JOIN (
    SELECT agent_id, count(*) AS held FROM read_tasks.tasks
    WHERE tenant_id = %(tenant)s AND status IN ('assigned', 'running') GROUP BY agent_id
) h USING (agent_id)
WHERE a.tenant_id = %(tenant)s GROUP BY 1, 2 ORDER BY 1, 2
"""

REACHED = b"""
SELECT CASE WHEN count(*) = %(partitions)s THEN min(position) ELSE 0 END FROM mesh.checkpoints
WHERE projection = 'agents' AND topic = %(topic)s
"""
PARKED = b"SELECT DISTINCT aggregate_id FROM mesh.parked_events WHERE projection = 'agents'"
IN_SERVICE = b"""
SELECT agent_id, tenant_id, kind, capabilities::text, task_limit, status, version FROM read_agents.agents
WHERE status <> 'terminated' OR agent_id = ANY (%(also)s::text[])
"""


class KnownAgent(NamedTuple):
    """What the dispatcher wants to know of an agent."""

    agent_id: str
    tenant_id: str
    kind: str
    capabilities: dict[str, int]
    limit: int
    status: AgentStatus
    version: int


class KnownAgents(NamedTuple):
    """Agents in service, a position of the log up to which their read model was complete, and those whose rows are old."""

    position: int
    agents: list[KnownAgent]
    parked: list[str]


class KindCount(NamedTuple):
    """The agents of one kind: how many are shown in each status, what they hold, and how much those in service may hold."""

    kind: str
    by_status: Mapping[str, int]
    open_tasks: int
    slots: int


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


class ShownAgent(AgentView):
    """An agent with the tasks that it holds now: assigned or running."""

    open_tasks: int

    @property
    def shown_status(self) -> str:
        """The status that people see."""
        return shown_status(self, self.open_tasks)


class FindAgents(BaseModel):
    """Agents of a tenant as people see them, newest first unless told otherwise; what is None does not filter. `after` ends the page
    before, `offset` passes over rows."""

    model_config = ConfigDict(frozen=True)

    tenant_id: str
    status: str | None = None
    """The shown one: `busy` is not stored."""
    capability: str | None = None
    kind: str | None = None
    oldest_first: bool = False
    limit: int = 100
    offset: int = 0
    after: After | None = None


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
    return [_view(row) for row in await LISTING.page(port, query.tenant_id, Slice(query.limit, query.after), **wanted)]


async def find_agent(port: QueryPort, query: GetAgent) -> ShownAgent | None:
    """The agent with what it holds, or None when this tenant has none with that id."""
    rows = await port.fetch(f"{SHOWN} AND a.agent_id = %(id)s".encode(), {"tenant": query.tenant_id, "id": query.agent_id})
    return _shown(rows[0]) if rows else None


async def find_agents(port: QueryPort, query: FindAgents) -> list[ShownAgent]:
    """A page of agents: filtered first, cut after that, in the order of created_at and agent_id (API-17)."""
    follows, way = (">", "ASC") if query.oldest_first else ("<", "DESC")
    parameters: dict[str, Any] = {"tenant": query.tenant_id, "limit": query.limit, "offset": query.offset}
    filters = [SHOWN]
    if query.status is not None:
        filters.append(IN_STATUS.get(query.status, "a.status = %(status)s"))
        parameters["status"] = query.status
    if query.capability is not None:
        filters.append(HAS_CAPABILITY)
        parameters["capability"] = query.capability
    if query.kind is not None:
        filters.append("a.kind = %(kind)s")
        parameters["kind"] = query.kind
    if query.after is not None:
        filters.append(f"(a.created_at, a.agent_id) {follows} (%(after_time)s, %(after_id)s)")
        parameters["after_time"], parameters["after_id"] = query.after
    order = f"ORDER BY a.created_at {way}, a.agent_id {way} LIMIT %(limit)s OFFSET %(offset)s"
    return [_shown(row) for row in await port.fetch(f"{' AND '.join(filters)} {order}".encode(), parameters)]


async def agent_counts(port: QueryPort, tenant_id: str) -> list[KindCount]:
    """The agents of a tenant by kind."""
    found: dict[str, list[Any]] = {}
    for kind, *counted in await port.fetch(COUNTS, {"tenant": tenant_id}):
        found.setdefault(kind, []).append(counted)
    return [
        KindCount(kind, {status: number for status, number, _, _ in rows}, sum(row[2] for row in rows), sum(row[3] for row in rows))
        for kind, rows in found.items()
    ]


async def known_agents(port: QueryPort, topic: str, partitions: int, also: Sequence[str]) -> KnownAgents:
    """The agents of all tenants that are not terminated, and those with the ids `also`, whatever became of them.

    Position 0 where the read model does not follow every partition of its topic yet. The position is read first: rows may be newer.
    """
    ((position,),) = await port.fetch(REACHED, {"topic": topic, "partitions": partitions})
    parked = [str(row[0]) for row in await port.fetch(PARKED, {})]
    rows = await port.fetch(IN_SERVICE, {"also": list(also)})
    return KnownAgents(int(position), [_known(row) for row in rows], parked)


def _known(row: Any) -> KnownAgent:
    agent_id, tenant_id, kind, capabilities, limit, status, version = row
    levels = {each["name"]: each["level"] for each in json.loads(capabilities)}
    return KnownAgent(agent_id, tenant_id, kind, levels, limit, AgentStatus(status), version)


async def agent_version(port: QueryPort, agent_id: str) -> int:
    """The stream version that the read model shows of an agent; 0 when it has no row yet."""
    return await LISTING.version(port, agent_id)


async def agent_versions(port: QueryPort, agent_ids: Sequence[str]) -> dict[str, int]:
    """The stream versions that the read model shows of these agents; what it has no row of is absent."""
    return await LISTING.versions(port, agent_ids)


def _shown(row: Any) -> ShownAgent:
    return ShownAgent(**dict(_view(row[:-1])), open_tasks=int(row[-1]))


def _view(row: Any) -> AgentView:
    values = dict(zip(AgentView.model_fields, row, strict=True))
    return AgentView(**{**values, "capabilities": json.loads(values["capabilities"]), "metadata": json.loads(values["metadata"])})
