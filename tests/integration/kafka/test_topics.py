"""A worker that finds topics missing, or other partition counts, refuses to start and says what mends it."""

from __future__ import annotations

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from contracts.topics import commands_topic, events_topic, topics
from infra.errors import ConfigurationError, TransientError
from infra.kafka.topics import create_topics, verify_topics
from infra.settings import MeshSettings
from tests.mesh import Mesh

pytestmark = pytest.mark.integration


async def test_topics_are_made_once_as_the_contract_says(mesh_settings: MeshSettings) -> None:
    bootstrap, prefix = mesh_settings.kafka_bootstrap, mesh_settings.topic_prefix
    made = await create_topics(bootstrap, topics(2), prefix)
    assert made == [prefix + spec.name for spec in topics(2)]
    assert await create_topics(bootstrap, topics(2), prefix) == []
    await verify_topics(bootstrap, topics(2), prefix)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        name = prefix + events_topic("requests")
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        settings = {entry[0]: entry[1] for entry in response.resources[0][4]}
    finally:
        await admin.close()
    assert settings["retention.ms"] == str(7 * 24 * 3_600_000)
    assert settings["cleanup.policy"] == "delete"
    assert settings["max.message.bytes"] == "1048576"


async def test_a_missing_topic_is_refused_with_the_command_that_makes_it(mesh_settings: MeshSettings) -> None:
    bootstrap, prefix = mesh_settings.kafka_bootstrap, mesh_settings.topic_prefix
    some = [spec for spec in topics(2) if spec.name != commands_topic("requests")]
    await create_topics(bootstrap, some, prefix)
    with pytest.raises(ConfigurationError, match=rf"{commands_topic('requests')} is missing: run agentmesh migrate"):
        await verify_topics(bootstrap, topics(2), prefix)


async def test_a_worker_refuses_another_partition_count(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings, partitions=2) as mesh:
        mesh.settings = mesh.settings.model_copy(update={"partitions": 3})
        for worker in (mesh.requests_worker(), mesh.relay(), mesh.projection()):
            await mesh.start(worker)
            with pytest.raises((ConfigurationError, ExceptionGroup)) as refused:
                await worker.wait_failed()
            assert "has 2 partitions, 3 are configured" in str(refused.value)
            assert "AGENTMESH_PARTITIONS" in str(refused.value)


async def test_a_broker_that_is_away_is_no_refusal(mesh_settings: MeshSettings) -> None:
    with pytest.raises(TransientError):
        await verify_topics("127.0.0.1:1", topics(2), mesh_settings.topic_prefix)
