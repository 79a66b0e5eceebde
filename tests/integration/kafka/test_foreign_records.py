"""Records as other clients write them: compressed in any way that Kafka knows, with header names that are not UTF-8."""

from __future__ import annotations

import gzip
import json
import struct

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

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


@pytest.mark.parametrize("codec", [None, "gzip"])
async def test_a_header_name_that_is_not_utf_8_stops_nothing(mesh_settings: MeshSettings, codec: str | None) -> None:
    """A client in C writes whatever bytes it likes. The command is done, and so are those before and after it in its batch."""
    async with Mesh(mesh_settings, partitions=1) as mesh:
        requests = [new_id() for _ in range(5)]
        records = [command_record("CreateRequest", each, create(each), command_id="c1") for each in requests]
        records[2][2].append(("x-name", b"value"))
        records.append(command_record("CreateRequest", None, b"not JSON", command_id="c2", headers={"x-name": b"parked"}))
        async with AIOKafkaProducer(bootstrap_servers=mesh.settings.kafka_bootstrap, compression_type=codec) as producer:
            batch = producer.create_batch()
            for key, value, headers in records:
                assert batch.append(key=key, value=value, timestamp=None, headers=headers) is not None
            batch._buffer = with_header_name(bytes(batch._build()), codec, b"x-name", b"\xff\xfename")
            await (await producer.send_batch(batch, mesh.commands_topic, partition=0))
        await mesh.start(mesh.requests_worker(), mesh.relay())
        for each in requests:
            assert (await mesh.outcome(each, "c1")).kind is OutcomeKind.EVENTS
        (letter,) = await mesh.letters(count=1)
        assert dict(letter.record.headers)["\\xff\\xfename"] == b"parked"
        await mesh.all_committed(6)
        (copy,) = await mesh.records("agentmesh.requests.dlq.v1", count=1)
        assert dict(copy.headers)["\\xff\\xfename"] == b"parked"


def with_header_name(batch: bytes, codec: str | None, name: bytes, odd: bytes) -> bytes:
    """The batch with another header name of the same length; its length and its checksum made right again."""
    head, body = batch[:61], batch[61:]
    plain = body if codec is None else gzip.decompress(body)
    assert name in plain
    changed = plain.replace(name, odd)
    body = changed if codec is None else gzip.compress(changed)
    checked = head[21:] + body
    return head[:8] + struct.pack(">i", len(head) + len(body) - 12) + head[12:17] + struct.pack(">I", calc_crc32c(checked)) + checked
