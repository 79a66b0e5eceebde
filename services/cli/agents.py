"""Agents from their read model, and orders to them; the work behind `agents`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.agents.commands import AgentCommand, DrainAgent, RegisterAgent, ResumeAgent, SuspendAgent, TerminateAgent
from contracts.agents.values import AgentStatus, Capability
from infra.postgres.base import QueryPort
from projections.agents.queries import BUSY, AgentView, GetAgent, ListAgents, get_agent, list_agents, shown_status
from projections.tasks.queries import open_assignments
from services.cli import publish
from services.cli.errors import WrongUsage
from services.cli.mesh import open_mesh
from services.cli.output import Output, print_facts, print_json, print_table
from services.cli.views import check_choice, existing

COLUMNS = ("agent", "name", "kind", "status", "open tasks", "limit", "capabilities", "created", "version")
STATUSES = (*AgentStatus, BUSY)
LEVELS = ("1", "2", "3", "4", "5")
# Pages are at least this long where agents are passed over, so that few busy agents among many do not cost a query each.
SMALLEST_PAGE = 100
ORDERS: Mapping[str, type[AgentCommand]] = {
    "suspend": SuspendAgent,
    "resume": ResumeAgent,
    "drain": DrainAgent,
    "terminate": TerminateAgent,
}


async def list_(tenant: str, status: str | None, kind: str | None, limit: int, output: Output) -> None:
    """A tenant's agents, newest first. Raises WrongUsage for a status that does not exist."""
    check_choice("status", status, STATUSES)
    async with open_mesh() as mesh:
        found = await _agents(mesh.database, tenant, status, kind, limit)
    if output is Output.JSON:
        print_json([_row(agent, open_tasks) for agent, open_tasks in found])
    else:
        print_table(COLUMNS, [_cells(agent, open_tasks) for agent, open_tasks in found], empty=f"No agent of tenant {tenant} matches.")


async def _agents(port: QueryPort, tenant: str, status: str | None, kind: str | None, limit: int) -> list[tuple[AgentView, int]]:
    """Agents, each with the number of its open tasks. Whether one is busy is not stored, so pages are read until enough agents match."""
    stored = AgentStatus.AVAILABLE.value if status == BUSY else status
    size = max(limit, SMALLEST_PAGE)
    found: list[tuple[AgentView, int]] = []
    after: tuple[datetime, str] | None = None
    while len(found) < limit:
        page = await list_agents(port, ListAgents(tenant_id=tenant, status=stored, kind=kind, limit=size, after=after))
        held = await open_assignments(port, tenant, [agent.agent_id for agent in page])
        counted = [(agent, held.get(agent.agent_id, 0)) for agent in page]
        found += [(agent, count) for agent, count in counted if status in (None, shown_status(agent, count))]
        if len(page) < size:
            break
        after = page[-1].created_at, page[-1].agent_id
    return found[:limit]


async def show(tenant: str, agent_id: str, output: Output) -> None:
    """One agent of a tenant. Raises NotFound."""
    async with open_mesh() as mesh:
        agent = existing(await get_agent(mesh.database, GetAgent(tenant_id=tenant, agent_id=agent_id)), "agent", agent_id, tenant)
        held = await open_assignments(mesh.database, tenant, [agent_id])
    row = _row(agent, held.get(agent_id, 0))
    if output is Output.JSON:
        print_json(row)
    else:
        times = {"created_at": agent.created_at, "updated_at": agent.updated_at}
        print_facts(row | times | {"capabilities": _capability_texts(agent.capabilities)})


async def register(
    *,
    kind: str,
    name: str,
    capabilities: Sequence[str],
    limit: int | None,
    agent_id: str | None,
    tenant: str,
    timeout: float,
    output: Output,
) -> int:
    """Make an agent known and answer the exit code. Raises WrongUsage for a capability without a level."""
    payload: dict[str, Any] = {
        "agent_id": agent_id,
        "kind": kind,
        "name": name,
        "capabilities": [parse_capability(text) for text in capabilities],
        "limit": limit,
    }
    return await publish.order(RegisterAgent, payload, tenant=tenant, timeout=timeout, output=output)


def parse_capability(text: str) -> dict[str, Any]:
    """Name and level of `billing=3`. Raises WrongUsage."""
    name, _, level = text.rpartition("=")
    if not name or level not in LEVELS:
        raise WrongUsage(f"--capability {text}: write NAME=LEVEL with a level from 1 to 5.")
    return {"name": name, "level": int(level)}


async def order(verb: str, agent_id: str, reason: str | None, *, tenant: str, timeout: float, output: Output) -> int:
    """Suspend, resume, drain or terminate an agent and answer the exit code; an order without a reason has none."""
    return await publish.order(ORDERS[verb], {"agent_id": agent_id, "reason": reason}, tenant=tenant, timeout=timeout, output=output)


def _row(agent: AgentView, open_tasks: int) -> dict[str, Any]:
    return agent.model_dump(mode="json") | {"status": shown_status(agent, open_tasks), "open_tasks": open_tasks}


def _cells(agent: AgentView, open_tasks: int) -> list[object]:
    capabilities = _capability_texts(agent.capabilities)
    status = shown_status(agent, open_tasks)
    return [
        agent.agent_id, agent.name, agent.kind, status, open_tasks, agent.task_limit, capabilities, agent.created_at, agent.version
    ]  # fmt: skip


def _capability_texts(capabilities: Iterable[Capability]) -> str:
    """As `agents register --capability` takes them."""
    return ", ".join(f"{capability.name}={capability.level}" for capability in capabilities)
