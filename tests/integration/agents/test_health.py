"""Health on real servers: agents without a live host become unhealthy and recover, a broker that pauses declares nobody dead, a dispatcher
that is killed is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from contracts.tasks.events import TaskReassigned
from infra.local_stack.stack import server
from infra.runtime.agent_host import AgentHost
from infra.settings import MeshSettings
from services.dispatcher.orders import AGENT_TERMINATED
from services.dispatcher.worker import DispatcherWorker
from services.dispatcher.worker import build as build_dispatcher
from tests.integration.agents.at_work import QUICK, happened, hosts, names, process, register, request_task, start_domain
from tests.integration.agents.gated_agent import Gated
from tests.mesh import PARTITIONS, TENANT, Mesh, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

AGENT = "agent-1"
PAUSE_SECONDS = 6.0
"""Twice the silence after which a host would be dead."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)


def host(mesh: Mesh) -> AgentHost:
    return AgentHost(Gated(), mesh.settings, mesh.telemetry, heartbeat_seconds=0.3)


async def test_agents_without_a_live_host_become_unhealthy_and_recover_when_one_answers(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await start_domain(mesh)
        first = host(mesh)
        await mesh.start(build_dispatcher(mesh.settings, mesh.telemetry), first)
        await register(mesh)
        await happened(mesh, "tasks", await request_task(mesh), "TaskCompleted")
        (told,) = (await hosts(mesh)).values()
        assert (told.host_id, told.kinds, told.capacity) == (first.identity, (Gated.kind,), 200)
        await mesh.stop(first)
        assert await hosts(mesh) == {}, "it said goodbye"
        await happened(mesh, "agents", AGENT, "AgentHealthCheckFailed")
        assert mesh.metric("health_check_failures_total", agent_id=AGENT, failure_reason="no_live_host") == 1

        async def shown() -> bool:
            return mesh.metric("active_agents", tenant_id=TENANT, status="unhealthy") == 1

        await wait_for(shown, 20, "the gauge of unhealthy agents")
        waiting = await request_task(mesh)
        await happened(mesh, "tasks", waiting, "TaskQueued")
        await mesh.start(host(mesh))
        await happened(mesh, "agents", AGENT, "AgentRecovered")
        await happened(mesh, "tasks", waiting, "TaskCompleted")
        assert await names(mesh, "agents", AGENT) == ["AgentCreated", "AgentHealthCheckFailed", "AgentRecovered"]


async def test_what_a_terminated_agent_runs_is_given_to_another(mesh_settings: MeshSettings, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with Mesh(mesh_settings) as mesh:
        await start_domain(mesh)
        await mesh.start(build_dispatcher(mesh.settings, mesh.telemetry), host(mesh))
        await register(mesh)
        task_id = await request_task(mesh, gate=str(gate))
        await happened(mesh, "tasks", task_id, "TaskStarted")
        await register(mesh, "agent-2")
        await mesh.publish_to("agents", "TerminateAgent", AGENT, {"agent_id": AGENT})
        await happened(mesh, "tasks", task_id, "TaskCompleted")
        gate.touch()  # the thread of the first run ends
        stream = [event.event() for event in await mesh.store_of("tasks").read_stream(task_id)]
        (taken,) = [event for event in stream if isinstance(event, TaskReassigned)]
        assert (taken.agent_id, taken.reason) == (AGENT, AGENT_TERMINATED)
        assert stream[-1].agent_id == "agent-2"  # type: ignore[attr-defined]


@pytest.mark.alone
async def test_a_broker_that_pauses_declares_nobody_dead(mesh_settings: MeshSettings, stack_root: Path) -> None:
    broker = server(stack_root, "kafka").pid
    assert broker is not None
    async with Mesh(mesh_settings) as mesh:
        await start_domain(mesh)
        only = host(mesh)
        await mesh.start(build_dispatcher(mesh.settings, mesh.telemetry), only)
        await register(mesh)
        await happened(mesh, "tasks", await request_task(mesh), "TaskCompleted")
        os.kill(broker, signal.SIGSTOP)
        try:
            await asyncio.sleep(PAUSE_SECONDS)  # how long it lasts is what is tested
        finally:
            os.kill(broker, signal.SIGCONT)
        await happened(mesh, "tasks", await request_task(mesh), "TaskCompleted", 60)
        await asyncio.sleep(2 * float(QUICK["AGENTMESH_DISPATCHER_SILENCE_SECONDS"]))  # a wrong verdict would come within this
        assert await names(mesh, "agents", AGENT) == ["AgentCreated"]
        await mesh.stop(only)
        await happened(mesh, "agents", AGENT, "AgentHealthCheckFailed")


async def test_of_two_dispatchers_the_second_takes_over_when_the_first_is_killed(
    mesh_settings: MeshSettings, mesh_environment: dict[str, str]
) -> None:
    environment = {**mesh_environment, **QUICK, "AGENTMESH_PARTITIONS": str(PARTITIONS)}
    async with Mesh(mesh_settings) as mesh, process(environment, "run", "dispatcher") as leader:
        await start_domain(mesh)
        await register(mesh)
        await happened(mesh, "tasks", await request_task(mesh), "TaskAssigned")
        standby = DispatcherWorker(mesh.settings, mesh.telemetry)
        await mesh.start(standby)
        tasks = [await request_task(mesh) for _ in range(12)]  # nine slots are left: three tasks wait

        async def nine_assigned() -> bool:
            return sum([("TaskAssigned" in await names(mesh, "tasks", task_id)) for task_id in tasks]) == 9

        await wait_for(nine_assigned, 30, "every slot taken")
        assert not [each for family in mesh.telemetry.metrics.active_agents.collect() for each in family.samples], "it stands by"
        leader.kill()
        await register(mesh, "agent-2")
        for task_id in tasks:
            await happened(mesh, "tasks", task_id, "TaskAssigned")
            assert (await names(mesh, "tasks", task_id)).count("TaskAssigned") == 1
