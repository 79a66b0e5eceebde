"""Publishes whole pages of records, one Kafka batch a partition, and answers when the broker has them all; used by relay and CLI."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from contracts.partitioning import partitions_for
from contracts.topics import BROKER_MAX_MESSAGE_BYTES
from infra.errors import TransientError
from infra.settings import MeshSettings

# A batch is compressed by nobody here, and must stay under the broker's limit with its own overhead.
BATCH_BYTES = BROKER_MAX_MESSAGE_BYTES - 64 * 1024
START_SECONDS = 15.0
STOP_SECONDS = 2.0


class OutgoingRecord(NamedTuple):
    """One record to publish; the partition follows from the key exactly as in Kafka's own clients."""

    topic: str
    key: bytes
    value: bytes | None
    """None deletes the key's record from a compacted topic."""
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
                max_batch_size=BATCH_BYTES,
                max_request_size=BROKER_MAX_MESSAGE_BYTES,
                request_timeout_ms=15_000,
            )
            try:
                # It waits for its producer id without a limit of its own.
                async with asyncio.timeout(START_SECONDS):
                    await producer.start()
            except BaseException:
                await _end(producer)
                raise
            self._producer = producer
        return self._producer

    async def publish(self, records: Iterable[OutgoingRecord]) -> None:
        """Publish a page; returns after every record is acknowledged. TransientError: some may be published, the producer is closed."""
        try:
            producer = await self._started()
            for batches in await self._waves(producer, records):
                for batch in batches.values():
                    batch.close()  # it is whole: the producer need not wait for more
                waits = [await producer.send_batch(batch, topic, partition=partition) for (topic, partition), batch in batches.items()]
                # All of them, the failed ones too: nothing of the page is under way when its failure is told.
                answers = await asyncio.gather(*waits, return_exceptions=True)
                for failure in (answer for answer in answers if isinstance(answer, BaseException)):
                    raise failure
        except (KafkaError, TimeoutError, OSError, AssertionError) as error:
            await self.close()
            raise TransientError(f"Kafka did not take the page: {type(error).__name__}: {error}") from error
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _waves(self, producer: AIOKafkaProducer, records: Iterable[OutgoingRecord]) -> list[dict[tuple[str, int], BatchBuilder]]:
        """The page as batches, one a partition in each wave.

        A second batch of a partition is not sent before the first is acknowledged: else its records could be the first ones of their keys
        to arrive, with those of the first batch after them.
        """
        by_topic: dict[str, list[OutgoingRecord]] = defaultdict(list)
        for record in records:
            by_topic[record.topic].append(record)
        waves: list[dict[tuple[str, int], BatchBuilder]] = []
        for topic, group in by_topic.items():
            count = self._partitions.get(topic)
            if count is None:
                count = self._partitions[topic] = len(await producer.partitions_for(topic))
            by_partition: dict[int, list[OutgoingRecord]] = defaultdict(list)
            for record, partition in zip(group, partitions_for([record.key for record in group], count), strict=True):
                by_partition[partition].append(record)
            for partition, mine in by_partition.items():
                for number, batch in enumerate(_batches(producer, mine)):
                    if number == len(waves):
                        waves.append({})
                    waves[number][topic, partition] = batch
        return waves

    async def close(self) -> None:
        """Close the producer; the next page starts a new one."""
        producer, self._producer = self._producer, None
        self._partitions = {}
        if producer is not None:
            await _end(producer)


def _batches(producer: AIOKafkaProducer, records: list[OutgoingRecord]) -> Iterator[BatchBuilder]:
    batch = producer.create_batch()
    for _, key, value, headers, timestamp in records:
        if batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
            yield batch
            batch = producer.create_batch()
            if batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
                raise ValueError(f"a record of {len(value or b'')} bytes does not fit a batch of {BATCH_BYTES}")
    yield batch


async def _end(producer: AIOKafkaProducer) -> None:
    """Stop a producer; one that cannot deliver what it holds is broken off, sender and all.

    Its sender would outlive it, connect again when the broker is back, and deliver old records behind newer ones.
    """
    try:
        await asyncio.wait_for(producer.stop(), timeout=STOP_SECONDS)
    except (TimeoutError, KafkaError, OSError):
        sender = producer._sender.sender_task
        if sender is not None:
            sender.cancel()
        await producer.client.close()
        if sender is not None:
            await asyncio.wait({sender}, timeout=STOP_SECONDS)
        # A send that was still waiting for its turn may have connected after the first close, which ends only what it finds.
        await producer.client.close()
