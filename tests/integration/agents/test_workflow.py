"""A request goes through triage, research and resolution on real servers: every worker of the workflow in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from contracts.agents.commands import RegisterAgent
from contracts.ids import new_task_id
from contracts.tasks.commands import RequestTask
from contracts.tasks.values import TaskOutcome
from contracts.topics import commands_topic
from infra.agents.base import Agent, Task, TaskContext
from infra.event_store.postgres import PostgresEventStore
from infra.runtime.agent_host import AgentHost
from infra.settings import MeshSettings
from projections.deadlines.projection import DEADLINES
from services.agents.worker import build as build_agents
from services.dispatcher.worker import build as build_dispatcher
from services.requests.process import task_of
from services.requests.process_worker import build as build_process
from services.scheduler.worker import build as build_scheduler
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent
from services.tasks.worker import build as build_tasks
from tests.mesh import TENANT, Mesh, command_record, create, new_id, wait_for

pytestmark = pytest.mark.integration

COMPLETED_ALONE = ["RequestCreated", "RequestTriaged", "ResearchStarted", "ApprovalNotRequired", "RequestCompleted"]
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
            assert await mesh.stream(each) == COMPLETED_ALONE
        rows = await mesh.rows("SELECT category, resolution FROM read_requests.requests")
        assert {row[0] for row in rows} == {"account"}
        assert all(row[1] for row in rows)
        # And so the operators see it: three tasks a request.
        await mesh.counts(30, "dispatch_decisions_total", outcome="assigned")
        await mesh.counts(30, "dispatch_wait_seconds_count")
        await mesh.counts(10, "events_appended_total", type="RequestCreated")
        await mesh.counts(30, "events_appended_total", type="TaskCompleted")
        await mesh.counts(10, "request_duration_seconds_count", status="completed")
        samples = mesh.telemetry.metrics.registry.get_sample_value
        assert samples("agentmesh_request_duration_seconds_count", {"status": "failed"}) == 0
        assert samples("agentmesh_approval_wait_seconds_count", {"decision": "expired"}) == 0
        assert samples("agentmesh_dead_letters_total", {"topic": "projection:requests"}) == 0
        await mesh.counts(3, "live_hosts")


class Frozen(TriageAgent):
    """Hangs for ever, as a host does that was stopped: what it holds must move."""

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        """Never answers."""
        await asyncio.Event().wait()
        return {}


async def test_the_runs_of_a_host_that_died_move_within_a_lease(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start_all()
        await mesh.start(*(build(mesh.settings, mesh.telemetry) for build in (build_tasks, build_agents, build_process, build_dispatcher)))
        await mesh.start(mesh.projection(DEADLINES))
        dead = AgentHost(Frozen(), mesh.settings, mesh.telemetry, lease_seconds=1.0)
        await mesh.start(dead)
        await register(mesh, Frozen)
        request = new_id()
        await mesh.publish("CreateRequest", request, create(request))

        async def running() -> bool:
            return bool(await mesh.rows("SELECT 1 FROM mesh.task_runs WHERE finished_at IS NULL"))

        await wait_for(running, 20, "a run that is claimed")
        dead._beside[1].cancel()  # its leases are renewed no more
        await mesh.start(build_scheduler(mesh.settings, mesh.telemetry))

        async def moved() -> bool:
            names = [event.metadata.type_name.split(".")[2] for event in await tasks.read_stream(task_of(request, "triage"))]
            return "TaskReassigned" in names

        tasks = PostgresEventStore(mesh.database, "tasks")
        await wait_for(moved, 20, "the attempt given to another host")


async def test_an_attempt_that_takes_too_long_times_out_and_is_given_up(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start_all()
        await mesh.start(*(build(mesh.settings, mesh.telemetry) for build in (build_tasks, build_agents, build_process, build_dispatcher)))
        await mesh.start(mesh.projection(DEADLINES), build_scheduler(mesh.settings, mesh.telemetry))
        await mesh.start(AgentHost(Frozen(), mesh.settings, mesh.telemetry))
        await register(mesh, Frozen)
        task_id = new_task_id()
        payload = {"tenant_id": TENANT, "task_id": task_id, "task_type": "triage", "kind": "triage", "subject_id": "nobody"}
        limits = {"max_attempts": 2, "time_limit_seconds": 1}
        key, value, headers = command_record(RequestTask.type_name, task_id, {**payload, **limits})
        await mesh.send(mesh.topic(commands_topic("tasks")), key, value, headers)
        tasks = PostgresEventStore(mesh.database, "tasks")

        async def over() -> bool:
            return (await tasks.read_stream(task_id))[-1:] != [] and (await names())[-1] == "TaskCompleted"

        async def names() -> list[str]:
            return [event.metadata.type_name.split(".")[2] for event in await tasks.read_stream(task_id)]

        await wait_for(over, 30, "the end of the task")
        found = [name for name in await names() if name != "TaskStarted"]
        assert found == ["TaskQueued", "TaskAssigned", "TaskTimedOut", "TaskReassigned", "TaskAssigned", "TaskTimedOut", "TaskCompleted"]
        assert (await tasks.read_stream(task_id))[-1].event().outcome is TaskOutcome.TIMEOUT  # type: ignore[attr-defined]
