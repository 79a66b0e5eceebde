"""A request goes through triage, research and resolution on real servers: every worker of the workflow in one process."""

from __future__ import annotations

import pytest

from contracts.agents.commands import RegisterAgent
from contracts.topics import commands_topic
from infra.agents.base import Agent
from infra.runtime.agent_host import AgentHost
from infra.settings import MeshSettings
from services.agents.worker import build as build_agents
from services.dispatcher.worker import build as build_dispatcher
from services.requests.process_worker import build as build_process
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent
from services.tasks.worker import build as build_tasks
from tests.mesh import TENANT, Mesh, command_record, create, new_id, wait_for

pytestmark = pytest.mark.integration

AGENTS: tuple[type[Agent], ...] = (TriageAgent, ResearchAgent, ResolutionAgent)


async def register(mesh: Mesh, agent: type[Agent]) -> str:
    """Make one agent of a class known."""
    agent_id = f"agent-{agent.kind}"
    capabilities = [{"name": name, "level": level} for name, level in agent.capabilities.items()]
    payload = {"tenant_id": TENANT, "agent_id": agent_id, "name": agent.kind, "kind": agent.kind, "limit": agent.concurrency}
    key, value, headers = command_record(RegisterAgent.type_name, agent_id, {**payload, "capabilities": capabilities})
    await mesh.send(mesh.topic(commands_topic("agents")), key, value, headers)
    return agent_id


async def start_workflow(mesh: Mesh) -> None:
    """Every worker that the workflow needs, and one agent of each kind."""
    await mesh.start_all()
    for build in (build_tasks, build_agents, build_process, build_dispatcher):
        await mesh.start(build(mesh.settings, mesh.telemetry))
    await mesh.start(*(AgentHost(agent(), mesh.settings, mesh.telemetry) for agent in AGENTS))
    for agent in AGENTS:
        await register(mesh, agent)


async def test_a_request_is_carried_from_creation_to_its_answer(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await start_workflow(mesh)
        requests = [new_id() for _ in range(10)]
        for each in requests:
            await mesh.publish("CreateRequest", each, create(each, message="I forgot my password and cannot log in.", category=None))

        async def all_completed() -> bool:
            rows = await mesh.rows("SELECT count(*) FROM read_requests.requests WHERE status = 'completed'")
            return bool(rows[0][0] == len(requests))

        await wait_for(all_completed, 60, "every request completed")
        for each in requests:
            assert await mesh.stream(each) == ["RequestCreated", "RequestTriaged", "ResearchStarted", "RequestCompleted"]
        rows = await mesh.rows("SELECT category, resolution FROM read_requests.requests")
        assert {row[0] for row in rows} == {"account"}
        assert all(row[1] for row in rows)
