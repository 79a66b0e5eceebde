"""How far read models are, from their checkpoints, the relay's positions and the ends of Kafka's partitions; one watch for all who wait.

For one aggregate the checkpoint of its partition counts. A partition in which nothing happens never gets a new checkpoint; one that was
read to its end counts as being at the relay's position that was read before that end (all up to it was on Kafka by then), so the order of
the three questions below is what makes the answer true.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from contracts.partitioning import partition_for
from contracts.topics import events_topic
from infra.errors import TransientError
from infra.outcomes.waiting import SharedWatch
from infra.positions.base import Followed
from infra.postgres.base import QueryPort
from infra.settings import MeshSettings

RELAYED = b"SELECT context, position FROM mesh.relay_positions WHERE context = ANY (%(contexts)s::text[])"
CHECKPOINTS = b"""
SELECT projection, topic, partition, next_offset, position FROM mesh.checkpoints
WHERE projection = ANY (%(names)s::text[]) AND topic = ANY (%(topics)s::text[])
"""
# Kafka answers in a few milliseconds, the first time in some tenths of a second. While it does not, checkpoints alone count: whoever waits
# is held up by it once, and then not for a while.
ENDS_SECONDS = 0.5
FIRST_SECONDS = 2.0
PAUSE_SECONDS = 2.0
CLOSE_SECONDS = 2.0
# How long a reader who does not want to wait may be held up by the one look that tells it how far the read model is.
LOOK_SECONDS = 2.0
logger = logging.getLogger(__name__)


class Applied(NamedTuple):
    """A partition's checkpoint: the next offset to read, and the last position applied."""

    next_offset: int
    position: int


NOTHING = Applied(0, 0)


class Seen(NamedTuple):
    """What one look finds: how far each partition is, how far the relay was, and how many records of Kafka are not read yet (None: Kafka
    was not there to be asked)."""

    positions: Sequence[int]
    relayed: int
    unread: int | None


class PartitionEnds(Protocol):
    """Tells where partitions end."""

    async def ends(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """The offset that the next record of each partition will get. Raises TransientError."""
        ...


class KafkaEnds:
    """Asks Kafka with a consumer that reads nothing."""

    def __init__(self, settings: MeshSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._consumer: AIOKafkaConsumer | None = None
        self._not_before = 0.0
        self._asking = asyncio.Lock()

    async def ends(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        """See the port."""
        async with self._asking:
            return await self._ends(topics)

    async def _ends(self, topics: Collection[str]) -> Mapping[tuple[str, int], int]:
        if time.monotonic() < self._not_before:
            raise TransientError("Kafka did not tell a moment ago where partitions end")
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(self._settings.partitions)]
        try:
            async with asyncio.timeout(FIRST_SECONDS if self._consumer is None else ENDS_SECONDS):
                found = await (await self._started()).end_offsets(partitions)
        except (KafkaError, TimeoutError, OSError) as error:
            await self.close()
            self._not_before = time.monotonic() + PAUSE_SECONDS
            raise TransientError(f"Kafka does not tell where partitions end: {type(error).__name__}") from error
        return {(partition.topic, partition.partition): end for partition, end in found.items()}

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                bootstrap_servers=self._settings.kafka_bootstrap, client_id=self._client_id, group_id=None, enable_auto_commit=False
            )
            await self._consumer.start()
        return self._consumer

    async def close(self) -> None:
        """Ask no more; the next question connects anew."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await consumer.stop()


class WatchedPositions:
    """See the port. A read that its read model has followed already costs one statement; those that wait share their questions."""

    def __init__(self, port: QueryPort, ends: PartitionEnds, *, partitions: int, topic_prefix: str) -> None:
        self._port = port
        self._ends = ends
        self._partitions = partitions
        self._prefix = topic_prefix
        self._watch: SharedWatch[Followed, Seen] = SharedWatch(self._look)

    async def reach(self, followed: Followed, position: int, aggregate_id: str | None, deadline: float) -> int:
        """See the port."""
        numbers = range(self._partitions) if aggregate_id is None else (partition_for(aggregate_id.encode(), self._partitions),)
        applied = await self._applied([followed])
        reached = min(applied[followed, number].position for number in numbers)

        def enough(seen: Seen) -> bool:
            nonlocal reached
            reached = max(reached, min(seen.positions[number] for number in numbers))
            return reached >= position or time.monotonic() >= deadline

        if reached < position:
            await self._watch.wait(followed, max(deadline, time.monotonic() + LOOK_SECONDS), enough)
        return reached

    async def now(self, wanted: Sequence[Followed]) -> Mapping[Followed, Seen]:
        """How far each is now. Raises TransientError."""
        return await self._look(wanted) if wanted else {}

    async def _look(self, wanted: Sequence[Followed]) -> Mapping[Followed, Seen]:
        relayed = await self._relayed(wanted)
        try:
            ends = await self._ends.ends({self._topic(each.context) for each in wanted})
        except TransientError as error:
            logger.debug("%s", error)
            ends = {}
        applied = await self._applied(wanted)
        return {each: self._seen(each, applied, ends, relayed.get(each.context, 0)) for each in wanted}

    def _seen(
        self, followed: Followed, applied: Mapping[tuple[Followed, int], Applied], ends: Mapping[tuple[str, int], int], relayed: int
    ) -> Seen:
        topic = self._topic(followed.context)
        places = [(applied[followed, number], ends.get((topic, number))) for number in range(self._partitions)]
        unread = [max(0, end - place.next_offset) for place, end in places if end is not None]
        positions = [_position(place, end, relayed) for place, end in places]
        return Seen(positions, relayed, sum(unread) if len(unread) == len(places) else None)

    async def _relayed(self, wanted: Sequence[Followed]) -> Mapping[str, int]:
        rows = await self._port.fetch(RELAYED, {"contexts": sorted({each.context for each in wanted})})
        return {context: int(position) for context, position in rows}

    async def _applied(self, wanted: Sequence[Followed]) -> Mapping[tuple[Followed, int], Applied]:
        topics = {self._topic(each.context): each.context for each in wanted}
        names = sorted({each.read_model for each in wanted})
        rows = await self._port.fetch(CHECKPOINTS, {"names": names, "topics": sorted(topics)})
        known = {
            (Followed(name, topics[topic]), int(number)): Applied(int(next_offset), int(position))
            for name, topic, number, next_offset, position in rows
        }
        return {(each, number): known.get((each, number), NOTHING) for each in wanted for number in range(self._partitions)}

    def _topic(self, context: str) -> str:
        return self._prefix + events_topic(context)

    async def close(self) -> None:
        """Ask no more."""
        await self._watch.close()


def _position(applied: Applied, end: int | None, relayed: int) -> int:
    """Up to where one partition is applied, with the end that it had after the relay was at `relayed`."""
    at_end = end is not None and applied.next_offset >= end
    return max(applied.position, relayed) if at_end else applied.position
