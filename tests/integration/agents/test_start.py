"""A new leader begins from the read models and knows exactly what one knows that read everything; ten thousand agents register."""

from __future__ import annotations

import time
from typing import Any

import pytest

from contracts.topics import events_topic
from infra.kafka.producer import PagePublisher
from infra.settings import MeshSettings
from projections.agents.projection import AGENTS
from projections.agents.queries import agent_version
from projections.tasks.projection import TASKS
from projections.tasks.queries import open_tasks, task_version
from services.agents.worker import build as build_agents
from services.dispatcher.dispatch import Dispatcher
from services.dispatcher.feed import Feed
from services.dispatcher.start import begin
from tests.benchmarks.agents import registrations
from tests.integration.agents.at_work import start_domain
from tests.mesh import PARTITIONS, Mesh, wait_for

pytestmark = pytest.mark.integration

VERSIONS = {"agents": agent_version, "tasks": task_version}
KINDS = {"kind": "gated", "task_type": "wait", "subject_id": "nobody", "requirements": [{"name": "waiting", "level": 2}]}
PAGE = 500


class Counting:
    """A store that counts the log entries that were read."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read_log(self, after: int, limit: int) -> Any:
        page = await self._store.read_log(after, limit)
        self.read += len(page)
        return page


async def started(
    mesh: Mesh, partitions: int = PARTITIONS, *, at_the_beginning: bool = False
) -> tuple[Dispatcher, Feed, dict[str, Counting]]:
    """A dispatcher that has read all that there is, one way or the other."""
    stores = {context: Counting(mesh.store_of(context)) for context in ("agents", "tasks")}
    dispatcher = Dispatcher()
    feed = Feed(stores, dispatcher, PAGE)
    if not at_the_beginning:
        await begin(mesh.database, stores, dispatcher, feed, mesh.settings.topic_prefix, partitions)
    await feed.read_new()
    return dispatcher, feed, stores


def known(dispatcher: Dispatcher, feed: Feed) -> dict[str, Any]:
    """All that a dispatcher decides on."""
    agents = {
        key: (record.status, record.limit, record.open_assignments, record.profile and record.profile.capabilities.levels)
        for key, record in dispatcher.directory._agents.items()
        if record.profile is not None or record.open_assignments
    }
    tasks = {task_id: (task.stage, task.attempt, task.agent_id, task.need, task.priority) for task_id, task in dispatcher._tasks.items()}
    assert set(tasks) <= set(feed.causes)
    return {"agents": agents, "tasks": tasks, "waiting": dispatcher.waiting.counts()}


async def by_hand(mesh: Mesh, context: str, command: str, aggregate_id: str, /, **payload: Any) -> int:
    """One command; answers the version that its aggregate has then."""
    key = "agent_id" if context == "agents" else "task_id"
    outcome = await mesh.do_in(context, command, aggregate_id, {key: aggregate_id, **payload})
    assert outcome.code is None
    return outcome.version


async def agent(mesh: Mesh, agent_id: str, level: int = 3) -> int:
    capabilities = [{"name": "waiting", "level": level}]
    return await by_hand(mesh, "agents", "RegisterAgent", agent_id, name=agent_id, kind="gated", capabilities=capabilities, limit=5)


async def a_past(mesh: Mesh) -> dict[tuple[str, str], int]:
    """Agents and tasks in every state; answers the versions that they ended with."""
    versions = {("agents", f"agent-{number}"): await agent(mesh, f"agent-{number}") for number in range(4)}
    for number in range(8):
        task_id = f"task-{number}"
        versions["tasks", task_id] = await by_hand(mesh, "tasks", "RequestTask", task_id, **KINDS)
    for number in range(6):
        held = {"agent_id": f"agent-{number % 3}", "attempt": 1}
        versions["tasks", f"task-{number}"] = await by_hand(mesh, "tasks", "AssignTask", f"task-{number}", **held)
    for number in range(4):
        held = {"agent_id": f"agent-{number % 3}", "attempt": 1}
        await by_hand(mesh, "tasks", "StartTask", f"task-{number}", **held)
        versions["tasks", f"task-{number}"] = await by_hand(mesh, "tasks", "CompleteTask", f"task-{number}", **held, result={})
    versions["tasks", "task-5"] = await by_hand(mesh, "tasks", "ReassignTask", "task-5", attempt=1, reason="lost")
    versions["agents", "agent-1"] = await by_hand(mesh, "agents", "TerminateAgent", "agent-1")
    versions["agents", "agent-2"] = await by_hand(mesh, "agents", "SuspendAgent", "agent-2")
    versions["agents", "agent-3"] = await by_hand(mesh, "agents", "MarkAgentUnhealthy", "agent-3", failure_reason="gone")
    return versions


async def projected(mesh: Mesh, versions: dict[tuple[str, str], int]) -> None:
    """Wait until the read models show these versions."""
    for (context, aggregate_id), version in versions.items():

        async def look(context: str = context, aggregate_id: str = aggregate_id, version: int = version) -> bool:
            return await VERSIONS[context](mesh.database, aggregate_id) >= version

        await wait_for(look, 20, f"{aggregate_id} in the read model")


async def test_a_new_leader_knows_the_same_from_read_models_as_from_the_whole_log(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await start_domain(mesh)
        models = mesh.projection(AGENTS), mesh.projection(TASKS)
        await mesh.start(*models)
        await projected(mesh, await a_past(mesh))
        await mesh.stop(*models)  # what comes now the read models do not know
        await by_hand(mesh, "tasks", "AssignTask", "task-6", agent_id="agent-0", attempt=1)
        await by_hand(mesh, "tasks", "CancelTask", "task-7", reason="not wanted")
        await by_hand(mesh, "tasks", "RequestTask", "task-late", **KINDS)
        await by_hand(mesh, "agents", "ResumeAgent", "agent-2")
        await agent(mesh, "agent-late", 1)

        everything, feed, _ = await started(mesh, at_the_beginning=True)
        quick, quick_feed, _ = await started(mesh)
        assert known(quick, quick_feed) == known(everything, feed)
        assert set(known(quick, quick_feed)["tasks"]) == {"task-4", "task-5", "task-6", "task-late"}
        assert {held.task_id for held in quick.take_stranded()} == {held.task_id for held in everything.take_stranded()} == {"task-4"}


async def test_what_is_old_is_not_read_again(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings, partitions=1) as mesh:
        await start_domain(mesh)
        await mesh.start(mesh.projection(AGENTS), mesh.projection(TASKS))
        await projected(mesh, await a_past(mesh))
        dispatcher, _, stores = await started(mesh, 1)
        assert {context: store.read for context, store in stores.items()} == {"agents": 0, "tasks": 0}
        assert len(dispatcher._tasks) == 4


async def test_a_task_whose_row_is_parked_is_known_from_its_stream(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings, partitions=1) as mesh:
        await start_domain(mesh)
        await mesh.start(mesh.projection(TASKS))
        version = await by_hand(mesh, "tasks", "RequestTask", "task-1", **KINDS)
        await projected(mesh, {("tasks", "task-1"): version})
        await mesh.rows(
            "WITH gone AS (DELETE FROM read_tasks.tasks RETURNING 1) "
            "INSERT INTO mesh.parked_events (projection, context, position, aggregate_id, sequence, type_name, state, cause, error_type, "
            "error_message, stack, attempts) VALUES ('tasks', 'tasks', 1, 'task-1', 1, 'x', '', 'defect', 'x', 'x', 'x', 3) RETURNING 1"
        )
        dispatcher, _, stores = await started(mesh, 1)
        assert stores["tasks"].read == 0
        assert set(dispatcher._tasks) == {"task-1"}


async def test_a_read_model_that_follows_only_some_partitions_is_no_beginning(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        topic = mesh.topic(events_topic("tasks"))
        columns = "projection, topic, partition, next_offset, position"
        sql = f"INSERT INTO mesh.checkpoints ({columns}) VALUES ('tasks', %(t)s, 0, 9, 9) RETURNING 1"
        await mesh.rows(sql, t=topic)
        assert await open_tasks(mesh.database, topic, PARTITIONS) == (0, [])
        assert await open_tasks(mesh.database, topic, 1) == (9, [])


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_ten_thousand_agents_register_over_kafka_in_less_than_thirty_seconds(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(build_agents(mesh.settings, mesh.telemetry))
        records = list(registrations(mesh.settings.topic_prefix, 10_000))
        publisher = PagePublisher(mesh.settings, mesh.settings.kafka_bootstrap, "test")
        began = time.monotonic()
        for start in range(0, len(records), 2_000):
            await publisher.publish(records[start : start + 2_000])
        await publisher.close()

        async def stored() -> bool:
            return await mesh.store_of("agents").head() == len(records)

        await wait_for(stored, 60, "ten thousand agents")
        took = time.monotonic() - began
        dispatcher, _, _ = await started(mesh)
        assert len(dispatcher.directory) == len(records)
        assert took < 30
