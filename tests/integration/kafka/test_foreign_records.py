"""Records as other clients write them: compressed in any way that Kafka knows, with header names that are not UTF-8."""

from __future__ import annotations

import json

import pytest
from aiokafka import AIOKafkaProducer

from infra.event_store.base import OutcomeKind
from infra.settings import MeshSettings
from tests.mesh import Mesh, command_record, create, new_id

pytestmark = pytest.mark.integration


async def test_commands_are_read_whatever_their_publisher_compresses_them_with(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        for codec in (None, "gzip", "snappy", "lz4", "zstd"):
            async with AIOKafkaProducer(bootstrap_servers=mesh.settings.kafka_bootstrap, compression_type=codec) as producer:
                request = new_id()
                key, value, headers = command_record("CreateRequest", request, create(request, message="abc " * 500), command_id="c1")
                await producer.send_and_wait(mesh.commands_topic, value, key=key, headers=headers)
                assert (await mesh.outcome(request, "c1")).kind is OutcomeKind.EVENTS
                assert json.loads(value)["request_id"] == request
