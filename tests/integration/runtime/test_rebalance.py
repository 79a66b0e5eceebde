"""Partitions change hands in the middle of work: nothing is lost, nothing is applied twice, and nothing overtakes what was given back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from contracts.topics import commands_topic
from infra.event_store.base import OutcomeKind
from infra.runtime import command_worker
from infra.settings import MeshSettings
from tests.integration.runtime.conftest import Spawn
from tests.integration.runtime.worker_process import PAUSING
from tests.mesh import TENANT, Mesh, command_record, create, new_id, wait_for
from tests.proxy import behind, postgres_proxy

pytestmark = pytest.mark.integration
TOPIC = commands_topic("requests")


async def test_a_batch_in_work_is_finished_before_its_partitions_go(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        requests = [new_id() for _ in range(20)]
        async with mesh.append_lock() as lock:
            await mesh.publish_many([command_record("CreateRequest", each, create(each), command_id="c1") for each in requests])
            await lock.stopped()
            newcomer = mesh.requests_worker()
            await mesh.start(newcomer)

            async def rebalancing() -> bool:
                return bool(mesh.workers[0]._revoking)

            await wait_for(rebalancing, 10, "the revoke")
            assert await mesh.store.head() == 0
        await mesh.all_committed(20)
        assert mesh.metric("duplicates_absorbed_total", topic=TOPIC, payload="same") == 0, "the batch in work was delivered again"
        assert await mesh.store.head() == 20
        more = [new_id() for _ in range(20)]
        await mesh.publish_many([command_record("CreateRequest", each, create(each), command_id="c1") for each in more])
        await mesh.all_committed(40)
        assert newcomer._mine, "the newcomer got no partition"
        assert await mesh.store.head() == 40


async def test_a_zombie_after_a_rebalance_writes_nothing_twice_and_works_on(
    mesh_settings: MeshSettings, spawn: Spawn, marker: Path
) -> None:
    """It stands still with a decided batch in hand; another one does the same records; then it wakes and appends."""
    async with Mesh(mesh_settings) as mesh:
        zombie = await spawn(mesh, "pausing")
        request, other = new_id(), new_id()
        batch = [
            command_record("CreateRequest", request, create(request), command_id="c1"),
            command_record("TriageRequest", other, {"tenant_id": TENANT, "request_id": other, "category": "billing", "priority": 1,
                                                     "confidence": 1}, command_id="refused"),
            command_record("CreateRequest", other, create(other, message=PAUSING), command_id="c2"),
        ]  # fmt: skip
        await mesh.publish_many(batch)

        async def paused() -> bool:
            return os.path.exists(marker)  # noqa: ASYNC240

        await wait_for(paused, 20, "the pause")
        await mesh.start(mesh.planted({}))
        await mesh.outcome(request, "c1")
        assert (await mesh.outcome(other, "c2")).kind is OutcomeKind.EVENTS
        await mesh.do("StartResearch", request, {}, command_id="c3")
        head = await mesh.store.head()
        zombie.signal(signal.SIGCONT)
        await mesh.stop(*mesh.workers)
        # Alone now, the former zombie must do the work.
        await mesh.do("CompleteRequest", request, {"resolution": "done"}, command_id="c4")
        assert zombie.process.returncode is None
        assert await mesh.store.head() == head + 1
        assert await mesh.stream(request) == ["RequestCreated"]
        assert await mesh.stream(other) == ["RequestCreated"]
        rejections = [entry.aggregate_id for entry in await mesh.store.read_log(0, 100) if entry.kind == "rejection"]
        assert rejections.count(other) == 1


async def test_a_batch_given_back_at_a_revoke_is_not_overtaken_by_later_records(
    mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away when the partitions go: the batch is abandoned, and what was fetched behind it is dropped with it."""
    monkeypatch.setattr(command_worker, "REVOKE_SECONDS", 0.2)
    async with Mesh(mesh_settings, partitions=1, batch_max_records=2) as mesh, postgres_proxy(mesh.settings.postgres_dsn) as proxy:
        far = mesh.settings.with_endpoints(
            postgres_dsn=behind(mesh.settings.postgres_dsn, proxy),
            redis_url=mesh.settings.redis_dsn,
            kafka_bootstrap=mesh.settings.kafka_bootstrap,
        )
        first = mesh.planted({}, far)
        await mesh.start(first)
        request = new_id()
        await mesh.do("CreateRequest", request, create(request))
        await mesh.all_committed(1)
        proxy.cut()
        updates = [
            command_record("UpdateRequest", request, {"tenant_id": TENANT, "request_id": request, "message": f"Text number {number}"})
            for number in range(10)
        ]
        await mesh.publish_many(updates)

        async def at_work() -> bool:
            return not first._idle.is_set() and mesh.metric("retries_total", name="load") >= 1

        await wait_for(at_work, 10, "a batch that waits for the database")
        stranger = AIOKafkaConsumer(mesh.commands_topic, bootstrap_servers=mesh.settings.kafka_bootstrap, group_id=first._group)
        await stranger.start()  # returns when the group is rebalanced: the batch was given back, and late enough for it

        async def working_again() -> bool:
            return bool(first._mine) and not first._revoking and not first._idle.is_set()

        assert await mesh.committed() == {0: 1}
        await stranger.stop()
        await wait_for(working_again, 10, "the partition back at the first worker, and a batch that waits for the database")
        assert await mesh.committed() == {0: 1}
        proxy.mend()
        await mesh.all_committed(11)
        texts = [event.event().message for event in (await mesh.store.read_stream(request))[1:]]  # type: ignore[attr-defined]
        assert texts == [f"Text number {number}" for number in range(10)]


async def test_records_of_one_aggregate_on_two_partitions_are_applied_once_each(mesh_settings: MeshSettings) -> None:
    """A foreign client partitions differently: two workers hold commands of one aggregate at the same time."""
    async with Mesh(mesh_settings, partitions=2) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.requests_worker())

        async def shared() -> bool:
            return all(len(worker._mine) == 1 for worker in mesh.workers)

        await wait_for(shared, 20, "one partition each")
        request = new_id()
        await mesh.do("CreateRequest", request, create(request))
        async with mesh.append_lock() as lock:
            for partition in (0, 1):
                for number in range(10):
                    text = {"tenant_id": TENANT, "request_id": request, "message": f"Text {partition} of {number}"}
                    await mesh.publish("UpdateRequest", request, text, partition=partition)
            await lock.stopped(2)
        await mesh.all_committed(21)
        assert mesh.metric("event_append_conflicts_total") >= 1, "the two never met"
        stream = await mesh.store.read_stream(request)
        assert [event.sequence for event in stream] == list(range(1, 22))
        for partition in (0, 1):
            texts = [event.event().message for event in stream[1:]]  # type: ignore[attr-defined]
            mine = [text for text in texts if text.startswith(f"Text {partition}")]
            assert mine == [f"Text {partition} of {number}" for number in range(10)]
