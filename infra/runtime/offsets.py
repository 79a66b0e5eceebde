"""Keeps the offsets of records that are done and commits them lagging, in the background; used by the command worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import ConsumerRecord, TopicPartition

from infra.kafka.subscription import BatchSubscription

COMMIT_INTERVAL_SECONDS = 0.2


class OffsetTracker:
    """Done offsets by partition. A commit never passes a record that is not done, because batches are settled whole and in order.

    An awaited commit after each batch costs more than the framework (61k against 254k records/s): a commit that is lost costs a redelivery
    that the inbox absorbs, so it may lag.
    """

    def __init__(self, subscription: BatchSubscription) -> None:
        self._subscription = subscription
        self._done: dict[TopicPartition, int] = {}
        self._committing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin committing in the background."""
        self._task = asyncio.create_task(self._run(), name="commit-offsets")

    async def stop(self) -> None:
        """Stop the background commits; commit what is done."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.commit()

    def done(self, records: Iterable[ConsumerRecord]) -> None:
        """Every record up to these is settled in the store."""
        for record in records:
            self._done[TopicPartition(record.topic, record.partition)] = record.offset + 1

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions belong to somebody else now."""
        for partition in partitions:
            self._done.pop(partition, None)

    async def commit(self) -> None:
        """Commit what is done now; what cannot be committed is kept for the next time."""
        async with self._committing:
            offsets, self._done = self._done, {}
            committed = not offsets
            try:
                committed = committed or await self._subscription.commit(offsets)
            finally:
                if not committed:
                    self._done = {**offsets, **self._done}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_SECONDS)
            await self.commit()
