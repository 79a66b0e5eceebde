"""Judges whether a consumer still works: by its polls, unless they bring nothing while there is something; used by the subscription.

A consumer of aiokafka can stay alive and do nothing for ever (its issue #1154; its fetch task may also end unseen): it polls, finds
nothing, and nobody hears of it. Such polls do not count as attempts, so that liveness turns red and the process is started anew. A broker
that is away is another matter: the library goes on looking for it, and that is an attempt.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
ANSWER_SECONDS = 5.0
# So many looks in a row must find the same backlog at the same place, with polls in between that brought nothing.
LOOKS = 3


class Attempts:
    """When the consumer was last seen to try. `polled` and `brought` are called by the poll, `look` from time to time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.last = clock()
        self._stuck = False
        self._empty_polls = 0
        self._seen: dict[TopicPartition, int] = {}
        self._looks = 0

    def polled(self) -> None:
        """A poll begins."""
        if not self._stuck:
            self.last = self._clock()

    def brought(self, records: int) -> None:
        """A poll ended."""
        if records:
            self._stuck = False
            self._seen, self._looks, self._empty_polls = {}, 0, 0
        else:
            self._empty_polls += 1

    async def look(self, consumer: AIOKafkaConsumer) -> None:
        """Compare positions with the ends of the partitions."""
        if consumer._fetcher.error_future.done():
            self._stick("its fetch task has ended")
            return
        if consumer._coordinator.coordinator_id is None:
            # The library looks for the group's coordinator: also while a poll waits for an assignment, which has no time limit.
            self.last = self._clock()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                behind = await self._behind(consumer)
        except (KafkaError, TimeoutError, OSError):
            behind = {}  # the broker is away, or a rebalance took the partitions: nothing can be said
        same = {partition for partition, position in behind.items() if self._seen.get(partition) == position}
        self._looks = self._looks + 1 if same and self._empty_polls else 0
        self._seen, self._empty_polls = behind, 0
        if self._looks >= LOOKS:
            self._stick(f"its polls bring nothing of {sorted(same)}, where records wait")

    def _stick(self, why: str) -> None:
        if not self._stuck:
            logger.error("the consumer is stuck: %s; its polls do not count as attempts any more", why)
        self._stuck = True

    @staticmethod
    async def _behind(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """The partitions that should be fetched and have records beyond their position."""
        assignment = consumer._subscription.subscription.assignment
        if assignment is None or consumer._subscription.reassignment_in_progress:
            return {}
        positions = {}
        for partition in assignment.tps:
            state = assignment.state_value(partition)
            if not state.paused:
                positions[partition] = state.position if state.has_valid_position else -1
        if not positions:
            return {}
        ends: dict[TopicPartition, int] = await consumer.end_offsets(list(positions))
        return {partition: position for partition, position in positions.items() if position < ends[partition]}
