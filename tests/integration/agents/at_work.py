"""What tests of hosts, health and dispatchers share: the workers of tasks and agents in the test's process, hosts in processes of their
own, one kind of agents."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from contracts.agents.commands import RegisterAgent
from contracts.fleet import HostGone, HostHeartbeat
from contracts.ids import new_task_id
from contracts.tasks.commands import RequestTask
from contracts.topics import commands_topic
from infra.fleet.kafka import KafkaFleetTopic
from services.agents.worker import build as build_agents
from services.relay.worker import build as build_relay
from services.tasks.worker import build as build_tasks
from tests.integration.agents.gated_agent import Gated
from tests.mesh import TENANT, Mesh, command_record, wait_for

ROOT = Path(__file__).resolve().parents[3]
GATED = "tests.integration.agents.gated_agent:Gated"
QUICK: Mapping[str, str] = {
    "AGENTMESH_DISPATCHER_SILENCE_SECONDS": "3",
    "AGENTMESH_DISPATCHER_GAP_SECONDS": "1.5",
    "AGENTMESH_DISPATCHER_PROBE_SECONDS": "0.25",
    "AGENTMESH_DISPATCHER_HEALTH_POLL_SECONDS": "0.2",
    "AGENTMESH_DISPATCHER_LEADER_POLL_SECONDS": "0.3",
    "AGENTMESH_SCHEDULER_POLL_SECONDS": "0.1",
    "AGENTMESH_SCHEDULER_LEASE_MARGIN_SECONDS": "0.1",
}
"""Everything that takes its time takes little."""


async def start_domain(mesh: Mesh) -> None:
    """The command workers of tasks and agents, and the relay."""
    await mesh.start(*(build(mesh.settings, mesh.telemetry) for build in (build_tasks, build_agents, build_relay)))


async def register(mesh: Mesh, agent_id: str = "agent-1", limit: int = 10) -> None:
    """Make an agent of the kind known."""
    capabilities = [{"name": name, "level": level} for name, level in Gated.capabilities.items()]
    payload = {
        "tenant_id": TENANT,
        "agent_id": agent_id,
        "name": agent_id,
        "kind": Gated.kind,
        "limit": limit,
        "capabilities": capabilities,
    }
    key, value, headers = command_record(RegisterAgent.type_name, agent_id, payload)
    await mesh.send(mesh.topic(commands_topic("agents")), key, value, headers)


async def request_task(mesh: Mesh, **task_input: Any) -> str:
    """Ask for a task of the kind; answers its id."""
    task_id = new_task_id()
    payload = {
        "tenant_id": TENANT,
        "task_id": task_id,
        "task_type": "wait",
        "kind": Gated.kind,
        "subject_id": "nobody",
        "input": task_input,
    }
    key, value, headers = command_record(RequestTask.type_name, task_id, payload)
    await mesh.send(mesh.topic(commands_topic("tasks")), key, value, headers)
    return task_id


async def names(mesh: Mesh, context: str, aggregate_id: str) -> list[str]:
    """The events of a stream by their short names."""
    return [event.metadata.type_name.split(".")[2] for event in await mesh.store_of(context).read_stream(aggregate_id)]


async def happened(mesh: Mesh, context: str, aggregate_id: str, name: str, seconds: float = 30) -> None:
    """Wait until a stream has an event of this name."""

    async def look() -> bool:
        return name in await names(mesh, context, aggregate_id)

    await wait_for(look, seconds, f"{name} of {aggregate_id}")


async def hosts(mesh: Mesh) -> dict[str, HostHeartbeat]:
    """What the fleet topic says of the hosts now."""
    topic = KafkaFleetTopic(mesh.settings, "test")
    await topic.start()
    try:
        found: dict[str, HostHeartbeat] = {}
        for _, said in await topic.read_to_end():
            if isinstance(said, HostHeartbeat):
                found[said.host_id] = said
            elif isinstance(said, HostGone):
                found.pop(said.host_id, None)
        return found
    finally:
        await topic.close()


@asynccontextmanager
async def process(environment: Mapping[str, str], *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of the CLI; whatever became of it, it is gone afterwards."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.main", *arguments,
        cwd=ROOT, env=dict(environment), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield started
    finally:
        if started.returncode is None:
            os.kill(started.pid, signal.SIGKILL)
            await started.wait()
