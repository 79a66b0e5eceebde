"""Publishes whole pages of records, one Kafka batch a partition, and answers when the broker has them all; used by relay and CLI."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from contracts.partitioning import partition_for
from contracts.topics import BROKER_MAX_MESSAGE_BYTES
from infra.errors import TransientError
from infra.settings import MeshSettings

# A batch is compressed by nobody here, and must stay under the broker's limit with its own overhead.
BATCH_BYTES = BROKER_MAX_MESSAGE_BYTES - 64 * 1024


class OutgoingRecord(NamedTuple):
    """One record to publish; the partition follows from the key exactly as in Kafka's own clients."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int | None = None


class PagePublisher:
    """An idempotent producer that is thrown away with the first failed page.

    Why: after a failed send an idempotent producer may deliver later records of the same key and lose the earlier one, or stick in
    OutOfOrderSequence (aiokafka #1017). So a page is all or nothing for the caller, and a failure closes the producer.
    """

    def __init__(self, settings: MeshSettings, bootstrap: str, client_id: str) -> None:
        self._settings = settings
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                client_id=self._client_id,
                acks="all",
                enable_idempotence=True,
                linger_ms=self._settings.kafka_linger_ms,
                max_batch_size=BATCH_BYTES,
                max_request_size=BROKER_MAX_MESSAGE_BYTES,
                request_timeout_ms=15_000,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def publish(self, records: Iterable[OutgoingRecord]) -> None:
        """Publish a page; returns after every record is acknowledged. TransientError: some may be published, the producer is closed."""
        try:
            producer = await self._started()
            waits = await self._submit(producer, records)
            await asyncio.gather(*waits)
        except (KafkaError, TimeoutError, OSError, AssertionError) as error:
            await self.close()
            raise TransientError(f"Kafka did not take the page: {type(error).__name__}: {error}") from error
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _submit(self, producer: AIOKafkaProducer, records: Iterable[OutgoingRecord]) -> list[asyncio.Future[object]]:
        by_partition: dict[tuple[str, int], list[OutgoingRecord]] = defaultdict(list)
        partitions = self._partitions
        for record in records:
            topic = record.topic
            count = partitions.get(topic)
            if count is None:
                count = partitions[topic] = len(await producer.partitions_for(topic))
            by_partition[topic, partition_for(record.key, count)].append(record)
        waits: list[asyncio.Future[object]] = []
        for (topic, partition), group in by_partition.items():
            batch = producer.create_batch()
            for record in group:
                _, key, value, headers, timestamp = record
                if batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
                    waits.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
                    if batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
                        raise ValueError(f"a record of {len(value)} bytes does not fit a batch of {BATCH_BYTES}")
            waits.append(await producer.send_batch(batch, topic, partition=partition))
        return waits

    async def close(self) -> None:
        """Close the producer; the next page starts a new one."""
        producer, self._producer = self._producer, None
        self._partitions = {}
        if producer is not None:
            # A producer that cannot reach its broker would wait for its unsent batches; they are dropped with it.
            try:
                await asyncio.wait_for(producer.stop(), timeout=2)
            except (TimeoutError, KafkaError, OSError):
                await producer.client.close()
