"""The read models `agents` and `tasks` after a small workflow by hand: rows, lists, tenants kept apart, and a rebuild that ends equal."""

from __future__ import annotations

from typing import Any

import pytest

from infra.event_store.base import Outcome, OutcomeKind
from infra.read_models.base import ReadModel
from infra.read_models.rebuild import Rebuild, RebuildDiffers
from infra.settings import MeshSettings
from projections.agents.projection import AGENTS
from projections.agents.queries import (
    AgentView,
    GetAgent,
    KindCount,
    ListAgents,
    agent_counts,
    agent_version,
    get_agent,
    list_agents,
)
from projections.tasks.projection import TASKS
from projections.tasks.queries import (
    GetTask,
    ListTasks,
    TaskView,
    get_task,
    list_tasks,
    oldest_waiting,
    open_assignments,
    task_version,
)
from services.agents.worker import build as build_agents
from services.tasks.worker import build as build_tasks
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = pytest.mark.integration

OTHER = "other-tenant"
VERSIONS = {"agents": agent_version, "tasks": task_version}
USAGE = {"model": "small", "calls": 1, "input_tokens": 120, "output_tokens": 15, "cost": "0.0120"}
CAPABILITIES = [{"name": "triage", "level": 3}]


async def start(mesh: Mesh) -> None:
    """The workers that decide, relay and project; the commands come by hand."""
    await mesh.start(*(build(mesh.settings, mesh.telemetry) for build in (build_tasks, build_agents)))
    await mesh.start(mesh.relay(), mesh.projection(AGENTS), mesh.projection(TASKS))


async def do(mesh: Mesh, context: str, type_name: str, aggregate_id: str, **payload: Any) -> Outcome:
    """One command that must change something, and the read model after it."""
    id_field = f"{context[:-1]}_id"
    outcome = await mesh.do_in(context, type_name, aggregate_id, {id_field: aggregate_id, **payload})
    assert outcome.kind is OutcomeKind.EVENTS, outcome

    async def shown() -> bool:
        return await VERSIONS[context](mesh.database, aggregate_id) >= outcome.version

    await wait_for(shown, 20, f"version {outcome.version} of {aggregate_id} in the read model")
    return outcome


async def register(mesh: Mesh, agent_id: str, **changes: Any) -> None:
    fields = {"name": "First line", "kind": "triage", "capabilities": CAPABILITIES, "limit": 2, "metadata": {"team": "blue"}}
    await do(mesh, "agents", "RegisterAgent", agent_id, **{**fields, **changes})


async def queue(mesh: Mesh, task_id: str, **changes: Any) -> None:
    await do(mesh, "tasks", "RequestTask", task_id, **{"task_type": "triage", "kind": "triage", "subject_id": "req-1", **changes})


async def give(mesh: Mesh, task_id: str, agent_id: str, attempt: int = 1, *, begin: bool = False) -> None:
    """Assign the attempt to an agent, which begins it when asked to."""
    for name in ("AssignTask", "StartTask") if begin else ("AssignTask",):
        await do(mesh, "tasks", name, task_id, agent_id=agent_id, attempt=attempt)


async def agent(mesh: Mesh, agent_id: str) -> AgentView:
    found = await get_agent(mesh.database, GetAgent(tenant_id=TENANT, agent_id=agent_id))
    assert found is not None
    return found


async def task(mesh: Mesh, task_id: str) -> TaskView:
    found = await get_task(mesh.database, GetTask(tenant_id=TENANT, task_id=task_id))
    assert found is not None
    return found


async def tasks_of(mesh: Mesh, **filters: Any) -> list[str]:
    return [view.task_id for view in await list_tasks(mesh.database, ListTasks(**{"tenant_id": TENANT, **filters}))]


async def workflow(mesh: Mesh) -> None:
    """Two agents and five tasks: one succeeds at the second attempt, one times out, one is cancelled, one waits, one runs."""
    await register(mesh, "agent-1")
    await register(mesh, "agent-2", kind="research", limit=1)
    await queue(mesh, "task-success")
    await give(mesh, "task-success", "agent-1", begin=True)
    failure = {"agent_id": "agent-1", "attempt": 1, "error_type": "ModelUnavailable", "reason": "no answer"}
    await do(mesh, "tasks", "FailTask", "task-success", **failure)
    await give(mesh, "task-success", "agent-1", 2, begin=True)
    result = {"agent_id": "agent-1", "attempt": 2, "result": {"category": "billing"}, "usage": USAGE, "duration_ms": 41}
    await do(mesh, "tasks", "CompleteTask", "task-success", **result)

    await queue(mesh, "task-timeout", subject_id="req-2", max_attempts=1, time_limit_seconds=60)
    await give(mesh, "task-timeout", "agent-1")
    deadline = (await task(mesh, "task-timeout")).deadline_at
    assert deadline is not None
    await do(mesh, "tasks", "TimeOutTask", "task-timeout", due_at=deadline.isoformat())

    await queue(mesh, "task-cancelled", kind="research", subject_id="req-2", priority=4)
    await do(mesh, "tasks", "CancelTask", "task-cancelled", reason="withdrawn")
    await queue(mesh, "task-waiting", kind="research")
    await queue(mesh, "task-running")
    await give(mesh, "task-running", "agent-1", begin=True)


async def test_rows_show_what_became_of_agents_and_tasks(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await start(mesh)
        await workflow(mesh)

        success = await task(mesh, "task-success")
        assert (success.status, success.outcome, success.reason, success.error_type) == ("done", "SUCCESS", None, None)
        assert (success.agent_id, success.attempt, success.max_attempts, success.duration_ms) == ("agent-1", 2, 3, 41)
        assert (success.model, success.input_tokens, success.output_tokens, success.cost) == ("small", 120, 15, "0.0120")
        assert success.assigned_at is not None
        assert success.started_at is not None
        assert success.completed_at is not None
        assert success.queued_at < success.assigned_at <= success.started_at <= success.completed_at
        assert (success.version, success.deadline_at) == (7, None)

        timeout = await task(mesh, "task-timeout")
        assert (timeout.status, timeout.outcome, timeout.version, timeout.duration_ms) == ("done", "TIMEOUT", 4, None)
        cancelled = await task(mesh, "task-cancelled")
        assert (cancelled.outcome, cancelled.reason, cancelled.agent_id, cancelled.priority) == ("FAILURE", "cancelled", None, 4)
        running = await task(mesh, "task-running")
        assert (running.status, running.attempt, running.outcome) == ("running", 1, None)
        assert running.deadline_at is not None

        await do(mesh, "agents", "SuspendAgent", "agent-2", reason="maintenance")
        changed = [{"name": "search", "level": 5}, {"name": "triage", "level": 1}]
        await do(mesh, "agents", "ChangeAgentCapabilities", "agent-2", capabilities=changed)
        found = await agent(mesh, "agent-2")
        assert (found.status, found.reason, found.version, found.task_limit) == ("suspended", "maintenance", 3, 1)
        assert [(capability.name, capability.level) for capability in found.capabilities] == [("search", 5), ("triage", 1)]
        assert (found.metadata, found.name, found.kind) == ({"team": "blue"}, "First line", "research")
        assert found.created_at < found.updated_at


async def test_lists_filter_and_go_on_page_by_page(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await start(mesh)
        await workflow(mesh)
        newest_first = ["task-running", "task-waiting", "task-cancelled", "task-timeout", "task-success"]
        assert await tasks_of(mesh) == newest_first
        assert await tasks_of(mesh, status="done") == newest_first[2:]
        assert await tasks_of(mesh, kind="research") == ["task-waiting", "task-cancelled"]
        assert await tasks_of(mesh, subject_id="req-2") == ["task-cancelled", "task-timeout"]
        assert await tasks_of(mesh, agent_id="agent-1", status="done") == ["task-timeout", "task-success"]
        assert await tasks_of(mesh, agent_id="agent-2") == []

        pages: list[str] = []
        after = None
        while page := await list_tasks(mesh.database, ListTasks(tenant_id=TENANT, limit=2, after=after)):
            pages += [view.task_id for view in page]
            after = page[-1].queued_at, page[-1].task_id
        assert pages == newest_first

        (first,) = await list_agents(mesh.database, ListAgents(tenant_id=TENANT, limit=1))
        rest = await list_agents(mesh.database, ListAgents(tenant_id=TENANT, after=(first.created_at, first.agent_id)))
        assert [first.agent_id, *(view.agent_id for view in rest)] == ["agent-2", "agent-1"]
        assert [view.agent_id for view in await list_agents(mesh.database, ListAgents(tenant_id=TENANT, kind="triage"))] == ["agent-1"]
        assert await list_agents(mesh.database, ListAgents(tenant_id=TENANT, status="draining")) == []
        assert await agent_counts(mesh.database, TENANT) == [
            KindCount("research", {"available": 1}, 0, 1),
            KindCount("triage", {"available": 1}, 1, 2),
        ]
        assert await agent_counts(mesh.database, OTHER) == []

        assert await open_assignments(mesh.database, TENANT, ["agent-1", "agent-2"]) == {"agent-1": 1}
        assert await open_assignments(mesh.database, TENANT, []) == {}
        await queue(mesh, "task-later", kind="research")
        assert [(found.kind, found.task_id) for found in await oldest_waiting(mesh.database, TENANT)] == [("research", "task-waiting")]


async def test_a_tenant_sees_its_own_agents_and_tasks_only(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await start(mesh)
        await workflow(mesh)
        await register(mesh, "agent-other", tenant_id=OTHER)
        await queue(mesh, "task-other", tenant_id=OTHER)

        assert await get_agent(mesh.database, GetAgent(tenant_id=OTHER, agent_id="agent-1")) is None
        assert await get_task(mesh.database, GetTask(tenant_id=OTHER, task_id="task-running")) is None
        assert [view.agent_id for view in await list_agents(mesh.database, ListAgents(tenant_id=OTHER))] == ["agent-other"]
        assert await tasks_of(mesh, tenant_id=OTHER) == ["task-other"]
        assert await tasks_of(mesh, tenant_id=OTHER, agent_id="agent-1") == []
        assert await open_assignments(mesh.database, OTHER, ["agent-1"]) == {}
        assert [found.task_id for found in await oldest_waiting(mesh.database, OTHER)] == ["task-other"]
        assert "task-other" not in await tasks_of(mesh)


def rebuild(mesh: Mesh, model: ReadModel) -> Rebuild:
    stores = {model.name: mesh.store_of(model.name)}
    return Rebuild(mesh.database, model, stores, mesh.settings.partitions, mesh.settings.topic_prefix)


async def test_a_rebuild_of_either_ends_equal_and_refuses_a_difference(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await start(mesh)
        await workflow(mesh)
        await do(mesh, "agents", "DrainAgent", "agent-2", reason="is replaced")
        for model, events, rows in ((AGENTS, 3, 2), (TASKS, 18, 5)):
            report = await rebuild(mesh, model).run(lambda done, of: None)
            assert (report.compared, report.events, report.rows, report.parked) == (True, events, rows, 0)
        assert (await task(mesh, "task-success")).cost == "0.0120"
        await register(mesh, "agent-3")  # and the workers write into the tables that are there now
        await queue(mesh, "task-3")

        await mesh.database.execute(b"UPDATE read_tasks.tasks SET cost = '1' WHERE task_id = 'task-success'", {})
        with pytest.raises(RebuildDiffers, match="task-success"):
            await rebuild(mesh, TASKS).run(lambda done, of: None)
        await mesh.database.execute(b"UPDATE read_agents.agents SET capabilities = '[]' WHERE agent_id = 'agent-1'", {})
        with pytest.raises(RebuildDiffers, match="agent-1"):
            await rebuild(mesh, AGENTS).run(lambda done, of: None)
