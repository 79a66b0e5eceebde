"""Kafka loses what a running or a stopped read model has not read yet, and goes on behind it: nothing is missed, the store has it all."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from contracts.topics import events_topic, topics
from infra.kafka.topics import create_topics
from infra.runtime import following_worker
from infra.settings import MeshSettings
from tests.mesh import Mesh, create, new_id, wait_for

pytestmark = pytest.mark.integration


async def created(mesh: Mesh, count: int) -> list[str]:
    requests = [new_id() for _ in range(count)]
    for request in requests:
        await mesh.do("CreateRequest", request, create(request))
    return requests


async def all_there(mesh: Mesh, requests: list[str]) -> None:
    for request in requests:
        await mesh.read_model_at(request, 1)


@pytest.mark.parametrize("more", [False, True], ids=["and nothing follows", "and more follows"])
async def test_records_deleted_under_a_running_read_model_come_from_the_store(
    mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch, more: bool
) -> None:
    monkeypatch.setattr(following_worker, "WATCH_SECONDS", 60.0 if more else 0.2)
    async with Mesh(mesh_settings, partitions=1) as mesh:
        projection = mesh.projection()
        await mesh.start(mesh.requests_worker(), mesh.relay(), projection)
        await all_there(mesh, await created(mesh, 2))
        consumer = projection._subscription.consumer
        partition = TopicPartition(mesh.topic(events_topic("requests")), 0)
        consumer.pause(partition)
        unread = await created(mesh, 5)
        await mesh.records(count=7)
        admin = AIOKafkaAdminClient(bootstrap_servers=mesh.settings.kafka_bootstrap)
        await admin.start()
        await admin.delete_records({partition: RecordsToDelete(before_offset=7)})
        await admin.close()
        consumer.resume(partition)
        await all_there(mesh, [*unread, *(await created(mesh, 1) if more else [])])
        await all_there(mesh, await created(mesh, 2))
        rows = await mesh.rows("SELECT next_offset FROM mesh.checkpoints")
        assert rows[0][0] == (10 if more else 9)


async def test_a_topic_that_was_made_anew_and_filled_beyond_the_checkpoint_is_noticed(mesh_settings: MeshSettings) -> None:
    """Its offsets say nothing any more: the checkpoint's next offset exists, and is that of another event."""
    async with Mesh(mesh_settings, partitions=1) as mesh:
        projection, relay = mesh.projection(), mesh.relay()
        await mesh.start(mesh.requests_worker(), relay, projection)
        await all_there(mesh, await created(mesh, 3))
        await mesh.stop(projection, relay)
        name = mesh.topic(events_topic("requests"))
        admin = AIOKafkaAdminClient(bootstrap_servers=mesh.settings.kafka_bootstrap)
        await admin.start()
        await admin.delete_topics([name])

        async def gone() -> bool:
            return name not in await admin.list_topics()

        await wait_for(gone, 10, "the topic deleted")
        await admin.close()
        await create_topics(mesh.settings.kafka_bootstrap, topics(1), mesh.settings.topic_prefix)
        unread = await created(mesh, 6)
        await mesh.start(mesh.relay())
        await mesh.records(count=6)
        await mesh.start(mesh.projection())
        await all_there(mesh, unread)
        await all_there(mesh, await created(mesh, 1))


async def test_a_start_where_it_ended_reads_nothing_twice_and_misses_nothing(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings, partitions=1) as mesh:
        projection = mesh.projection()
        await mesh.start(mesh.requests_worker(), mesh.relay(), projection)
        await all_there(mesh, await created(mesh, 6))
        await mesh.stop(projection)
        late = await created(mesh, 6)
        await mesh.start(mesh.projection())
        await all_there(mesh, late)
        # What a start finds in the store is not counted as read from Kafka, so there may be fewer, never more.
        assert mesh.metric("projected_events_total", projection="requests") <= 12
        await mesh.counts(2, "rebalances_total", group=projection._group)
