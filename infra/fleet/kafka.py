"""The fleet topic in Kafka: a consumer in no group, which begins with the compacted past, and a producer; used by dispatcher and CLI."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from contracts.fleet import FleetProbe, fleet_headers, probe_keys, read_fleet_record
from contracts.topics import FLEET_TOPIC
from infra.errors import TransientError
from infra.fleet.base import FleetRecord
from infra.kafka.lenient_records import read_any_header_name
from infra.kafka.producer import OutgoingRecord, PagePublisher
from infra.settings import MeshSettings

START_SECONDS = 15.0
CLOSE_SECONDS = 2.0
MOST_RECORDS = 1_000


class KafkaFleetTopic:
    """See the port. A broker that goes away is waited for by the consumer itself: reads are then empty."""

    def __init__(self, settings: MeshSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._topic = settings.topic_prefix + FLEET_TOPIC
        self._publisher = PagePublisher(settings, settings.kafka_bootstrap, client_id)
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def partitions(self) -> int:
        """As configured, which every worker verifies when it starts."""
        return self._settings.partitions

    async def start(self) -> None:
        """See the port."""
        read_any_header_name()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            client_id=self._client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=500,
            request_timeout_ms=15_000,
        )
        self._consumer = consumer
        try:
            async with asyncio.timeout(START_SECONDS):
                await consumer.start()
                partitions = self._all()
                consumer.assign(partitions)
                await consumer.seek_to_beginning(*partitions)
        except (KafkaError, TimeoutError, OSError) as error:
            await self.close()
            raise TransientError(f"the fleet topic cannot be read: {type(error).__name__}: {error}") from error

    def _all(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in range(self.partitions)]

    async def read(self, seconds: float) -> list[FleetRecord]:
        """See the port."""
        if self._consumer is None:
            raise TransientError("the fleet topic is not being read")
        try:
            found = await self._consumer.getmany(timeout_ms=round(seconds * 1000), max_records=MOST_RECORDS)
        except KafkaError as error:
            raise TransientError(f"the fleet topic cannot be read: {error}") from error
        records = []
        for partition, page in found.items():
            for record in page:
                said = read_fleet_record(record.key, record.value, record.headers)
                if said is not None:
                    records.append(FleetRecord(partition.partition, said))
        return records

    async def read_to_end(self) -> list[FleetRecord]:
        """All that is there now; for readers that only look once."""
        if self._consumer is None:
            raise TransientError("the fleet topic is not being read")
        try:
            ends = await self._consumer.end_offsets(self._all())
            records = []
            while any([await self._consumer.position(partition) < end for partition, end in ends.items()]):
                records += await self.read(0.2)
            return records
        except KafkaError as error:
            raise TransientError(f"the fleet topic cannot be read: {error}") from error

    async def probe(self, probe: FleetProbe) -> None:
        """See the port."""
        headers = fleet_headers(probe, probe.prober_id, str(uuid.uuid4()))
        value = probe.to_json()
        await self._publisher.publish(OutgoingRecord(self._topic, key, value, headers) for key in probe_keys(self.partitions))

    async def forget(self, host_ids: Iterable[str]) -> None:
        """See the port."""
        await self._publisher.publish(OutgoingRecord(self._topic, host_id.encode(), None, []) for host_id in host_ids)

    async def close(self) -> None:
        """See the port."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(consumer.stop(), timeout=CLOSE_SECONDS)
        await self._publisher.close()
