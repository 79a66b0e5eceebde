"""The checkpoint row is the only truth: repeats, zombies, a new read model, and a topic that lost what was not read yet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from psycopg import AsyncConnection

from contracts.topics import events_topic
from infra.errors import ConfigurationError
from infra.postgres.errors import CheckpointMoved
from infra.read_models.checkpoints import Checkpoint, Move
from infra.read_models.postgres import ReadModelWriter
from infra.runtime import following_worker
from infra.settings import MeshSettings
from projections.requests.projection import REQUESTS
from tests.mesh import Mesh, create, new_id, wait_for

pytestmark = pytest.mark.integration


async def created(mesh: Mesh) -> str:
    """One request, in the store and on Kafka."""
    request_id = new_id()
    await mesh.do("CreateRequest", request_id, create(request_id))
    return request_id


async def test_a_repeat_with_a_new_offset_is_discarded(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start_all()
        request_id = await created(mesh)
        await mesh.do("TriageRequest", request_id, {"category": "billing", "priority": 3, "confidence": 0.9})
        await mesh.read_model_at(request_id, 2)
        records = await mesh.records(count=2)
        first = min((record for record in records), key=lambda record: dict(record.headers)["ce_sequence"])
        async with AIOKafkaProducer(bootstrap_servers=mesh.settings.kafka_bootstrap) as producer:
            sent = await producer.send_and_wait(
                first.topic, first.value, key=first.key, headers=list(first.headers), partition=first.partition
            )

        async def repeat_is_read() -> bool:
            rows = await mesh.rows("SELECT next_offset FROM mesh.checkpoints WHERE partition = %(p)s", p=first.partition)
            return bool(rows) and rows[0][0] == sent.offset + 1

        await wait_for(repeat_is_read, what="the repeat's offset in the checkpoint")
        rows = await mesh.rows("SELECT status, version FROM read_requests.requests WHERE request_id = %(id)s", id=request_id)
        assert list(rows) == [("triaged", 2)]
        history = await mesh.rows("SELECT count(*) FROM read_requests.request_history WHERE request_id = %(id)s", id=request_id)
        assert history[0][0] == 2


async def test_what_was_read_and_cannot_be_saved_is_told_as_lag(mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_worker, "WATCH_SECONDS", 0.1)
    async with Mesh(mesh_settings) as mesh:
        await mesh.start_all()
        await mesh.read_model_at(await created(mesh), 1)
        await mesh.counts(0, "projection_lag_events", projection="requests")
        async with await AsyncConnection.connect(mesh.settings.postgres_dsn) as other:
            await other.execute("LOCK TABLE read_requests.requests IN EXCLUSIVE MODE")
            waiting = await created(mesh)
            await mesh.counts(1, "projection_lag_events", projection="requests")
        await mesh.read_model_at(waiting, 1)
        await mesh.counts(0, "projection_lag_events", projection="requests")
        assert mesh.metric("projection_lag_seconds", projection="requests") == 0


async def test_a_zombies_transaction_fails_whole(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        request_id = await created(mesh)
        (event,) = await mesh.store.read_stream(request_id)
        writer = ReadModelWriter(mesh.database, REQUESTS)
        partition = TopicPartition(mesh.topic(events_topic("requests")), 0)
        before = await writer.checkpoints(partition.topic, [0])
        await writer.save(Move(before, {partition: Checkpoint(7, 0)}))  # the new owner moves on
        with pytest.raises(CheckpointMoved):
            await writer.save(Move(before, {partition: Checkpoint(1, event.position)}, changes=REQUESTS.changes(event)))
        assert (await writer.checkpoints(partition.topic, [0]))[partition] == Checkpoint(7, 0)
        assert (await mesh.rows("SELECT count(*) FROM read_requests.requests"))[0][0] == 0


async def test_a_worker_whose_checkpoint_was_moved_takes_its_partitions_up_again(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start_all()
        await mesh.read_model_at(await created(mesh), 1)
        await mesh.database.execute(b"UPDATE mesh.checkpoints SET next_offset = 0, position = 0", {})
        ids = [await created(mesh) for _ in range(6)]
        for request_id in ids:
            await mesh.read_model_at(request_id, 1)


async def test_a_new_read_model_catches_up_from_the_store(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        ids = [await created(mesh) for _ in range(5)]
        await mesh.start(mesh.projection())  # no relay: nothing is on Kafka
        for request_id in ids:
            await mesh.read_model_at(request_id, 1)


async def test_what_kafka_no_longer_holds_is_read_from_the_store(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        projection = mesh.projection()
        await mesh.start(mesh.requests_worker(), mesh.relay(), projection)
        await mesh.read_model_at(await created(mesh), 1)
        await mesh.stop(projection)
        ids = [await created(mesh) for _ in range(8)]
        await mesh.records(count=9)
        topic = mesh.topic(events_topic("requests"))
        admin = AIOKafkaAdminClient(bootstrap_servers=mesh.settings.kafka_bootstrap)
        await admin.start()
        everything = {TopicPartition(topic, number): RecordsToDelete(before_offset=-1) for number in range(mesh.settings.partitions)}
        await admin.delete_records(everything)
        await admin.close()
        await mesh.start(mesh.projection())
        for request_id in ids:
            await mesh.read_model_at(request_id, 1)
        late = await created(mesh)  # and Kafka is followed again
        await mesh.read_model_at(late, 1)


async def test_a_worker_refuses_tables_of_another_definition(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        worker = mesh.projection(replace(REQUESTS, version=REQUESTS.version + 1))
        await mesh.start(worker)
        with pytest.raises(ConfigurationError, match="agentmesh projections rebuild requests"):
            await worker.wait_failed()
