"""The monitor on real servers: the lag of whoever stands still grows in messages and in seconds and goes back to 0 when it goes on; what
waits and what is parked is shown with its age; who does not lead tells nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from contracts.message import Command
from contracts.requests.commands import UpdateRequest
from contracts.topics import commands_topic
from infra.event_store.base import OutcomeKind
from infra.rebuild_orders.base import Failure, NewOrder
from infra.rebuild_orders.postgres import PostgresRebuildOrders
from infra.runtime.base import Decide, DecisionContext
from infra.settings import MeshSettings
from projections.approvals.projection import APPROVALS
from projections.catalogue import read_models
from projections.requests.projection import REQUESTS
from projections.tasks.projection import TASKS
from services.monitor.worker import MonitorWorker
from services.monitor.worker import build as build_monitor
from services.requests.process_worker import build as build_process
from services.tasks.worker import build as build_tasks
from tests.mesh import Mesh, create, new_id, wait_for

pytestmark = pytest.mark.integration

PROJECTION = {"kind": "projection", "name": "requests"}
RELAY = {"kind": "relay", "name": "requests"}


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_MONITOR_INTERVAL_SECONDS", "0.1")
    monkeypatch.setenv("AGENTMESH_MONITOR_LEADER_POLL_SECONDS", "0.1")
    monkeypatch.setenv("AGENTMESH_RELAY_LEADER_POLL_SECONDS", "0.1")


def group(mesh: Mesh, name: str) -> dict[str, str]:
    return {"kind": "consumer_group", "name": mesh.topic(name)}


def shown(mesh: Mesh, name: str, /, **labels: str) -> float | None:
    """The value of a gauge; None where it is not shown."""
    return mesh.telemetry.metrics.registry.get_sample_value(f"agentmesh_{name}", labels)


async def becomes(mesh: Mesh, value: float | None, name: str, /, **labels: str) -> None:
    """Wait until a gauge has exactly this value; AssertionError says which it has."""

    async def look() -> bool:
        return shown(mesh, name, **labels) == value

    try:
        await wait_for(look, 10, name)
    except AssertionError:
        raise AssertionError(f"{name}{labels} is {shown(mesh, name, **labels)}, not {value}") from None


async def grows(mesh: Mesh, since: float, name: str, /, **labels: str) -> None:
    """Wait until a gauge tells an age that begins not before `since`, a moment of `time.time()`, and has grown for a while."""

    async def look() -> bool:
        age = shown(mesh, name, **labels) or 0.0
        assert age <= time.time() - since + 0.5, "nothing is older than what was asked first"
        return age > 0.4

    await wait_for(look, 10, f"an age of {name}{labels}")


async def creates(mesh: Mesh, count: int, *, settled: bool = True) -> float:
    """Create requests, and wait for their outcomes unless nobody decides; answers when the first was asked for."""
    since = time.time()
    ids = [new_id() for _ in range(count)]
    commands = [await mesh.publish("CreateRequest", each, create(each)) for each in ids]
    if settled:
        for request_id, command_id in zip(ids, commands, strict=True):
            await mesh.outcome(request_id, command_id)
    return since


async def test_the_lag_of_a_worker_that_is_stopped_grows_and_goes_back_to_0_when_it_is_there_again(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        requests, relay, projection = mesh.requests_worker(), mesh.relay(), mesh.projection()
        await mesh.start(requests, relay, projection, build_monitor(mesh.settings, mesh.telemetry))
        await creates(mesh, 5)
        commands = group(mesh, "agentmesh.requests")
        for labels in (PROJECTION, RELAY, commands):
            await becomes(mesh, 0, "lag_messages", **labels)
            await becomes(mesh, 0, "lag_seconds", **labels)

        await mesh.stop(projection)
        since = await creates(mesh, 7)
        await becomes(mesh, 7, "lag_messages", **PROJECTION)
        await grows(mesh, since, "lag_seconds", **PROJECTION)
        for labels in (RELAY, commands):  # the others keep up
            await becomes(mesh, 0, "lag_messages", **labels)
        await mesh.start(mesh.projection())
        await becomes(mesh, 0, "lag_messages", **PROJECTION)
        await becomes(mesh, 0, "lag_seconds", **PROJECTION)

        await mesh.stop(relay)
        since = await creates(mesh, 4)
        await becomes(mesh, 4, "lag_messages", **RELAY)
        await grows(mesh, since, "lag_seconds", **RELAY)
        assert shown(mesh, "lag_messages", **PROJECTION) == 0, "what is not on Kafka is the relay's lag"
        await mesh.start(mesh.relay())
        await becomes(mesh, 0, "lag_messages", **RELAY)
        await becomes(mesh, 0, "lag_seconds", **RELAY)

        await mesh.stop(requests)
        since = await creates(mesh, 6, settled=False)
        await becomes(mesh, 6, "lag_messages", **commands)
        await grows(mesh, since, "lag_seconds", **commands)
        await mesh.start(mesh.requests_worker())
        await becomes(mesh, 0, "lag_messages", **commands)
        await becomes(mesh, 0, "lag_seconds", **commands)


async def test_workers_that_never_ran_have_their_lag_too_and_a_new_leader_knows_the_age_of_what_it_finds(
    mesh_settings: MeshSettings,
) -> None:
    async with Mesh(mesh_settings) as mesh:
        since = time.time()
        task = {"task_id": "task-1", "kind": "nobody", "task_type": "research", "subject_id": "req-1"}
        await mesh.publish_to("tasks", "RequestTask", "task-1", task)
        process, first = build_process(mesh.settings, mesh.telemetry), build_monitor(mesh.settings, mesh.telemetry)
        await mesh.start(mesh.requests_worker(), mesh.relay(), process, first)
        await creates(mesh, 3)
        tasks, process_lag = group(mesh, "agentmesh.tasks"), {"kind": "process_manager", "name": "requests-process"}
        # Each request has asked for its triage: what the process manager publishes waits beside the task of above.
        await becomes(mesh, 4, "lag_messages", **tasks)
        await mesh.stop(process)
        await creates(mesh, 2)
        await grows(mesh, since, "lag_seconds", **tasks)
        await becomes(mesh, 5, "lag_messages", **PROJECTION)
        await grows(mesh, since, "lag_seconds", **PROJECTION)
        await becomes(mesh, 2, "lag_messages", **process_lag)
        await grows(mesh, since, "lag_seconds", **process_lag)
        named = {labels["name"] for labels in _labels(mesh, "agentmesh_lag_messages") if labels["kind"] == "projection"}
        assert named == {model.name for model in read_models()}

        second = build_monitor(mesh.settings, mesh.telemetry)
        age = shown(mesh, "lag_seconds", **tasks) or 0.0
        await mesh.stop(first)
        assert shown(mesh, "monitor_leader") == 0
        assert not _labels(mesh, "agentmesh_lag_seconds"), "who does not lead tells nothing"
        await mesh.start(second)
        await becomes(mesh, 4, "lag_messages", **tasks)
        assert shown(mesh, "monitor_leader") == 1
        assert (shown(mesh, "lag_seconds", **tasks) or 0.0) > age, "a new leader reads how old what waits is"


def _labels(mesh: Mesh, name: str) -> list[dict[str, str]]:
    return [sample.labels for family in mesh.telemetry.metrics.registry.collect() for sample in family.samples if sample.name == name]


async def test_what_waits_and_what_is_parked_is_counted_with_the_age_of_the_oldest(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.planted(_broken_updates()), mesh.relay(), build_tasks(mesh.settings, mesh.telemetry))
        await mesh.start(*(mesh.projection(model) for model in (REQUESTS, APPROVALS, TASKS)), build_monitor(mesh.settings, mesh.telemetry))
        await becomes(mesh, 0, "waiting", kind="approval")
        since = time.time()
        asked = new_id()
        await mesh.do("CreateRequest", asked, create(asked))
        await mesh.do("TriageRequest", asked, {"category": "refund", "priority": 2, "confidence": 0.9})
        await mesh.do("StartResearch", asked, {})
        await mesh.do("RequireApproval", asked, {"findings": {}})
        await mesh.do("CreateRequest", other := new_id(), create(other))  # what waits for a person is an approval, and no request
        task = {"task_id": "task-1", "kind": "nobody", "task_type": "research", "subject_id": asked}
        assert (await mesh.do_in("tasks", "RequestTask", "task-1", task)).kind is OutcomeKind.EVENTS
        for kind in ("request", "approval", "task"):
            await becomes(mesh, 1, "waiting", kind=kind)
            await grows(mesh, since, "oldest_waiting_seconds", kind=kind)
        assert shown(mesh, "approvals_pending") == 1
        moved = time.time()
        await mesh.do("TriageRequest", other, {"category": "billing", "priority": 2, "confidence": 0.9})

        async def has_moved() -> bool:
            return 0 < (shown(mesh, "oldest_waiting_seconds", kind="request") or 0.0) <= time.time() - moved

        await wait_for(has_moved, 10, "an open request that waits since it moved last")

        for _ in range(2):
            await mesh.publish("UpdateRequest", asked, {"tenant_id": "test-tenant", "request_id": asked, "message": "Still wrong"})
        await becomes(mesh, 2, "parked_records", context="requests")
        await becomes(mesh, 1, "parked_keys", context="requests")
        await grows(mesh, since, "oldest_parked_seconds", context="requests")
        assert shown(mesh, "parked_records", context="tasks") == shown(mesh, "oldest_parked_seconds", context="tasks") == 0
        assert shown(mesh, "parked_keys", context="projection:requests") == 0
        await _orders_are_counted(mesh, PostgresRebuildOrders(mesh.database))


async def _orders_are_counted(mesh: Mesh, orders: PostgresRebuildOrders) -> None:
    """Orders of rebuilds, by state and with the age of the oldest; nobody but the test takes any."""
    since = time.time()

    async def are(waiting: int, running: int, failed: int) -> None:
        for state, count in (("waiting", waiting), ("running", running), ("failed", failed)):
            await becomes(mesh, count, "rebuild_orders", state=state)
            age = shown(mesh, "oldest_rebuild_order_seconds", state=state)
            assert age is not None
            assert (age > 0) is (count > 0), f"{age} of {state}"
            assert age <= time.time() - since + 0.5

    await are(0, 0, 0)
    for number, read_model in enumerate(("requests", "tasks")):
        await orders.place(NewOrder(f"order-{number}", read_model, "ann"))
    await are(2, 0, 0)
    taken = await orders.take(["requests"], "w-1")
    assert taken is not None
    await are(1, 1, 0)
    await orders.fail(taken, Failure.DIFFERS, "a row differs")
    await are(1, 0, 1)
    await orders.place(NewOrder("order-2", "requests", "ann"))
    await are(2, 0, 0)


async def test_what_kafka_deleted_is_no_lag_of_a_group_and_a_topic_that_is_gone_hides_no_other(
    mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMESH_MONITOR_TOPICS_SECONDS", "0.001")
    async with Mesh(mesh_settings, partitions=1) as mesh:
        requests = mesh.requests_worker()
        await mesh.start(requests, build_monitor(mesh.settings, mesh.telemetry))
        await creates(mesh, 2)
        await mesh.all_committed(2)
        await mesh.stop(requests)
        await creates(mesh, 3, settled=False)
        commands = group(mesh, "agentmesh.requests")
        await becomes(mesh, 3, "lag_messages", **commands)
        admin = AIOKafkaAdminClient(bootstrap_servers=mesh.settings.kafka_bootstrap)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(mesh.commands_topic, 0): RecordsToDelete(before_offset=5)})
            await becomes(mesh, 0, "lag_messages", **commands)
            await becomes(mesh, 0, "lag_seconds", **commands)
            gone = mesh.topic(commands_topic("tasks"))
            await admin.delete_topics([gone])

            async def is_gone() -> bool:
                return gone not in await admin.list_topics()

            await wait_for(is_gone, 10, "the topic deleted")
        finally:
            await admin.close()
        since = await creates(mesh, 4, settled=False)
        await becomes(mesh, 4, "lag_messages", **commands)
        await grows(mesh, since, "lag_seconds", **commands)


def _broken_updates() -> Mapping[type[Command], Decide]:
    def broken(request: Any, command: UpdateRequest, context: DecisionContext) -> Any:
        raise RuntimeError("a defect of the decision")

    return {UpdateRequest: broken}


async def test_while_kafka_is_away_the_rest_is_told_and_lags_are_not_made_up(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        worker = build_monitor(mesh.settings, mesh.telemetry)
        assert isinstance(worker, MonitorWorker)
        await mesh.start(worker)
        await becomes(mesh, 0, "lag_messages", **PROJECTION)
        await worker._topics.close()
        worker._topics._settings = mesh.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:9"})
        await becomes(mesh, None, "lag_messages", **PROJECTION)
        assert shown(mesh, "lag_messages", **RELAY) == shown(mesh, "waiting", kind="request") == 0
