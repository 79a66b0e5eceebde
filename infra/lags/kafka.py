"""Where groups have committed, where topics end and how old a record is, asked of Kafka with a consumer that belongs to no group; see the
port."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, NotCoordinatorForGroupError

from infra.errors import TransientError
from infra.kafka.lenient_records import read_any_header_name
from infra.lags.base import Partition, Place
from infra.settings import MeshSettings

Answer = TypeVar("Answer")
ASK_SECONDS = 5.0
CLOSE_SECONDS = 2.0
# What one look may read of records at most; what is left comes with the next one.
READ_SECONDS = 1.0
TIME_HEADER = "ce_time"


class KafkaTopics:
    """See the port. A failure closes both clients; the next question connects anew."""

    def __init__(self, settings: MeshSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._admin: AIOKafkaAdminClient | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._coordinators: dict[str, int] = {}

    async def topics(self) -> Mapping[str, int]:
        """See the port."""
        return await self._asked(self._topics)

    async def _topics(self) -> dict[str, int]:
        described = await (await self._administration()).describe_topics()
        return {topic["topic"]: len(topic["partitions"]) for topic in described}

    async def committed(self, groups: Mapping[str, Collection[Partition]]) -> Mapping[str, Mapping[Partition, int]]:
        """See the port; one question a group, all under way at once."""

        async def ask() -> dict[str, dict[Partition, int]]:
            await self._administration()
            async with asyncio.TaskGroup() as asking:
                answers = {group: asking.create_task(self._committed(group, wanted)) for group, wanted in groups.items()}
            return {group: answer.result() for group, answer in answers.items()}

        return await self._asked(ask)

    async def _committed(self, group: str, wanted: Collection[Partition]) -> dict[Partition, int]:
        if not wanted:
            return {}
        admin = await self._administration()
        if group not in self._coordinators:
            self._coordinators[group] = await admin.find_coordinator(group)
        found = await admin.list_consumer_group_offsets(group, self._coordinators[group], [TopicPartition(*each) for each in wanted])
        if len(found) < len(wanted):
            # The answer of a broker that is not the coordinator any more, or that still loads: its error is of the whole, which aiokafka
            # does not look at. A group that never committed is told otherwise, with -1 for each partition.
            raise NotCoordinatorForGroupError(f"no offsets of {group} were told")
        return {Partition(place.topic, place.partition): meta.offset for place, meta in found.items() if meta.offset >= 0}

    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """See the port."""
        return await self._offsets(partitions, lambda consumer: consumer.end_offsets)

    async def beginnings(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """See the port."""
        return await self._offsets(partitions, lambda consumer: consumer.beginning_offsets)

    async def _offsets(self, partitions: Collection[Partition], question: Callable[[AIOKafkaConsumer], Any]) -> Mapping[Partition, int]:
        wanted = [TopicPartition(*partition) for partition in partitions]

        async def ask() -> Mapping[Partition, int]:
            found = await question(await self._reader())(wanted) if wanted else {}
            return {Partition(place.topic, place.partition): offset for place, offset in found.items()}

        return await self._asked(ask)

    async def times(self, places: Collection[Place]) -> Mapping[Place, float]:
        """See the port. A consumer stands at one place of a partition, so places of the same one are read one after the other."""
        rounds: dict[Partition, list[Place]] = defaultdict(list)
        for place in sorted(places):
            rounds[place.partition].append(place)
        found: dict[Place, float] = {}
        deadline = time.monotonic() + READ_SECONDS
        while rounds and time.monotonic() < deadline:
            wanted = [waiting.pop(0) for waiting in rounds.values()]
            rounds = defaultdict(list, {partition: waiting for partition, waiting in rounds.items() if waiting})
            found.update(await self._asked(lambda: self._read(wanted, deadline)))  # noqa: B023
        return found

    async def _read(self, wanted: Collection[Place], deadline: float) -> dict[Place, float]:
        """The times of one record of each partition; a record that was deleted meanwhile counts as the first one that is left."""
        consumer = await self._reader()
        open_places = {TopicPartition(*place.partition): place for place in wanted}
        consumer.assign(list(open_places))
        found: dict[Place, float] = {}
        try:
            for partition, place in open_places.items():
                consumer.seek(partition, place.offset)
            while open_places and (left := deadline - time.monotonic()) > 0:
                for partition, records in (await consumer.getmany(*open_places, timeout_ms=int(left * 1000))).items():
                    if records:
                        found[open_places.pop(partition)] = _recorded(records[0])
        finally:
            consumer.unsubscribe()
        return found

    async def _asked(self, question: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await question()
        except (KafkaError, TimeoutError, OSError, ExceptionGroup) as error:
            await self.close()
            first = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            if not isinstance(first, KafkaError | TimeoutError | OSError):
                raise
            raise TransientError(f"Kafka does not tell how far its readers are: {type(first).__name__}") from error

    async def _administration(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            admin = AIOKafkaAdminClient(
                bootstrap_servers=self._settings.kafka_bootstrap, client_id=self._client_id, request_timeout_ms=int(ASK_SECONDS * 1000)
            )
            try:
                await admin.start()
            except BaseException:
                await admin.close()
                raise
            self._admin = admin
        return self._admin

    async def _reader(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            read_any_header_name()
            # One byte a partition: the broker then answers the batch that holds the record, and nothing behind it.
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._settings.kafka_bootstrap,
                client_id=self._client_id,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=1,
                max_poll_records=1_000,
                fetch_max_wait_ms=100,
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    async def close(self) -> None:
        """Close both clients; safe to call twice."""
        admin, self._admin = self._admin, None
        consumer, self._consumer = self._consumer, None
        self._coordinators = {}
        for ending in [each for each in (consumer and consumer.stop(), admin and admin.close()) if each is not None]:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await ending


def _recorded(record: ConsumerRecord) -> float:
    """When what the record holds was recorded."""
    if ".commands." not in record.topic:
        for name, value in record.headers:
            if name == TIME_HEADER:
                with contextlib.suppress(ValueError):
                    return datetime.fromisoformat(value.decode("utf-8", "replace")).timestamp()
    return float(record.timestamp) / 1000
