"""Publishes a workload as a careful foreign client would: idempotent, in the order of each aggregate, again after every failure."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from tests.chaos.checker import Journaled
from tests.chaos.workload import Sent

RETRY_SECONDS = 0.5
GIVE_UP_SECONDS = 180.0


class Publisher:
    """Keeps the journal: a command is in it once the broker has acknowledged it.

    A page goes out as one Kafka batch a partition, so a partition takes it whole or not at all: a failed page is sent again as it was, and
    the first delivery of each command still follows that of its predecessor. Such repeats are legal, the mesh absorbs them.
    """

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._partitions = partitions
        self._partition_of = DefaultPartitioner()
        self._producer: AIOKafkaProducer | None = None
        self.journal: list[Journaled] = []
        self.resent = 0

    async def publish(self, records: Sequence[Sent]) -> None:
        """Return when the broker has all of them, however often it goes away meanwhile."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                await asyncio.wait_for(self._send(records), timeout=20)
                break
            except (KafkaError, OSError, TimeoutError):
                await self.close()
                if time.monotonic() > deadline:
                    raise
                self.resent += 1
                await asyncio.sleep(RETRY_SECONDS)
        for record in records:
            if record.command_id is not None and record.expected is not None:
                self.journal.append(Journaled(record.aggregate_id, record.command_id, record.expected))

    async def _send(self, records: Sequence[Sent]) -> None:
        producer = await self._started()
        by_partition: dict[int, list[Sent]] = defaultdict(list)
        everyone = list(range(self._partitions))
        for record in records:
            by_partition[self._partition_of(record.aggregate_id.encode(), everyone, everyone)].append(record)
        waits = []
        for partition, group in by_partition.items():
            batch = producer.create_batch()
            for record in group:
                if batch.append(key=record.aggregate_id.encode(), value=record.value, headers=record.headers, timestamp=None) is None:
                    raise ValueError("a page is too large for one batch a partition")
            waits.append(await producer.send_batch(batch, self._topic, partition=partition))
        await asyncio.gather(*waits)

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True, max_batch_size=900_000, request_timeout_ms=5_000
            )
            await self._producer.start()
        return self._producer

    async def close(self) -> None:
        """Close the producer; the next page starts another one."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            await asyncio.wait_for(producer.stop(), timeout=2)
        except (TimeoutError, KafkaError, OSError):
            # What it still holds must not be sent later, behind the records that follow.
            sender = producer._sender.sender_task
            if sender is not None:
                sender.cancel()
                with contextlib.suppress(asyncio.CancelledError, KafkaError):
                    await asyncio.wait({sender}, timeout=5)
            await producer.client.close()
