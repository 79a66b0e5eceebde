"""What agent hosts need to know also arrives on the work topic of their kind, under the agent's id; a missing topic is made."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from contracts.requests.commands import UpdateRequest
from contracts.topics import WEEK_MS, dead_letters_topic, events_topic, work_topic
from infra.settings import MeshSettings
from services.agents.worker import build as build_agents
from services.tasks.worker import build as build_tasks
from tests.mesh import TENANT, Mesh, create, header, new_id, wait_for

pytestmark = pytest.mark.integration

TASK = {"task_id": "task-1", "task_type": "triage", "kind": "triage", "subject_id": "req-1", "input": {"message": "where is my order"}}
ASSIGN = {"task_id": "task-1", "agent_id": "agent-7", "attempt": 1}


async def topic_names(mesh: Mesh) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=mesh.settings.kafka_bootstrap)
    await admin.start()
    try:
        return {name.removeprefix(mesh.settings.topic_prefix) for name in await admin.list_topics()}
    finally:
        await admin.close()


async def described(mesh: Mesh, name: str) -> tuple[int, dict[str, str]]:
    """How many partitions a topic has, and its settings."""
    admin = AIOKafkaAdminClient(bootstrap_servers=mesh.settings.kafka_bootstrap)
    await admin.start()
    try:
        (topic,) = await admin.describe_topics([mesh.topic(name)])
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, mesh.topic(name))])
        return len(topic["partitions"]), {entry[0]: entry[1] for entry in answer.resources[0][4]}
    finally:
        await admin.close()


async def made(mesh: Mesh, name: str) -> None:
    async def look() -> bool:
        return name in await topic_names(mesh)

    await wait_for(look, what=f"the topic {name}")


def told(records: list[ConsumerRecord]) -> list[tuple[str, str]]:
    """Type and key of each record, by the place in the log."""
    in_order = sorted(records, key=lambda record: header(record, "ce_position"))
    return [(header(record, "ce_type").split(".")[2], record.key.decode()) for record in in_order]


async def do(mesh: Mesh, command: str, payload: dict[str, Any]) -> None:
    await mesh.do_in("tasks", command, payload["task_id"], payload)


async def test_an_assigned_task_arrives_on_the_work_topic_of_its_kind_which_is_made_for_it(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(build_tasks(mesh.settings, mesh.telemetry), mesh.relay())
        await do(mesh, "RequestTask", TASK)
        await mesh.records(events_topic("tasks"), count=1)
        assert work_topic("triage") not in await topic_names(mesh), "a task that waits needs no host yet"
        await do(mesh, "AssignTask", ASSIGN)
        published = await mesh.records(events_topic("tasks"), count=2)
        await made(mesh, work_topic("triage"))
        (work,) = await mesh.records(work_topic("triage"), count=1)
        (assigned,) = [record for record in published if header(record, "ce_type").endswith("TaskAssigned.v1")]
        assert (work.key, assigned.key) == (b"agent-7", b"task-1")
        assert (work.value, list(work.headers)) == (assigned.value, list(assigned.headers))
        assert header(work, "ce_subject") == "task-1"
        partitions, configuration = await described(mesh, work_topic("triage"))
        assert partitions == mesh.settings.partitions
        assert configuration["retention.ms"] == str(WEEK_MS + 86_400_000)


async def test_what_ends_an_assignment_arrives_there_too_under_the_agent_that_had_it(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(build_tasks(mesh.settings, mesh.telemetry), mesh.relay())
        await do(mesh, "RequestTask", TASK)
        await do(mesh, "AssignTask", ASSIGN)
        await do(mesh, "ReassignTask", {"task_id": "task-1", "attempt": 1, "reason": "the host is lost"})
        await do(mesh, "AssignTask", {**ASSIGN, "agent_id": "agent-8", "attempt": 2})
        await do(mesh, "CancelTask", {"task_id": "task-1", "reason": "withdrawn"})
        waiting = {**TASK, "task_id": "task-2"}
        await do(mesh, "RequestTask", waiting)
        await do(mesh, "CancelTask", {"task_id": "task-2", "reason": "withdrawn"})
        await mesh.records(events_topic("tasks"), count=9)
        assert told(await mesh.records(work_topic("triage"), count=4)) == [
            ("TaskAssigned", "agent-7"),
            ("TaskReassigned", "agent-7"),
            ("TaskAssigned", "agent-8"),
            ("TaskCancelled", "agent-8"),
        ]
        assert len(await mesh.records(work_topic("triage"))) == 4, "nobody had the task that was cancelled while it waited"


async def test_the_first_agent_of_a_kind_makes_its_work_topic(mesh_settings: MeshSettings) -> None:
    """A host of the kind finds it before there is any task."""
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(build_agents(mesh.settings, mesh.telemetry), mesh.relay())
        agent = {"agent_id": "agent-7", "name": "Billing", "kind": "billing", "capabilities": [{"name": "billing", "level": 3}]}
        await mesh.do_in("agents", "RegisterAgent", "agent-7", agent)
        await made(mesh, work_topic("billing"))
        await mesh.do_in("agents", "RegisterAgent", "agent-8", {**agent, "agent_id": "agent-8"})
        await mesh.records(events_topic("agents"), count=2)
        assert await mesh.records(work_topic("billing")) == []


async def test_a_parked_record_that_calls_itself_an_event_for_hosts_does_not_end_the_relay(mesh_settings: MeshSettings) -> None:
    """What waits behind a parked record is parked under the name that its sender gave it, whatever that is."""

    def defect(*_: Any) -> Any:
        raise KeyError("a defect")

    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.planted({UpdateRequest: defect}), mesh.relay())
        request_id = new_id()
        await mesh.do("CreateRequest", request_id, create(request_id))
        await mesh.publish("UpdateRequest", request_id, {"tenant_id": TENANT, "request_id": request_id, "message": "changed"})
        await mesh.publish("agentmesh.tasks.TaskAssigned.v1", request_id, {"tenant_id": TENANT, "request_id": request_id})
        _, letter = await mesh.letters(count=2)
        assert letter.type_name == "agentmesh.tasks.TaskAssigned.v1"
        other = new_id()
        await mesh.do("CreateRequest", other, create(other))
        assert {record.key.decode() for record in await mesh.records(count=2)} == {request_id, other}
        assert len(await mesh.records(dead_letters_topic("requests"))) == 2
