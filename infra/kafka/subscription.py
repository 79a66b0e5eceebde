"""A group subscription that hands whole batches to one handler; FastStream runs the loop, the command and projection workers use it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream.kafka import KafkaBroker
from faststream.middlewares import AckPolicy

from infra.errors import TransientError
from infra.kafka.attempts import LOOK_SECONDS, Attempts
from infra.kafka.lenient_records import read_any_header_name
from infra.resilience.gathering import Gathering
from infra.settings import MeshSettings

logger = logging.getLogger(__name__)

LONG_POLL_MS = 500
GATHERED_BYTES = 64 * 1024
# How long a rebalance waits for members that still finish their batch.
REBALANCE_TIMEOUT_MS = 30_000
Batch = Sequence[ConsumerRecord]
Handler = Callable[[Batch], Awaitable[None]]
FailedCallback = Callable[[Exception], None]
PartitionsCallback = Callable[[set[TopicPartition]], Awaitable[None]]


class AttemptConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """A consumer that notes its polls, and whose polls wait for data.

    FastStream sleeps `batch_timeout_ms` once more after an empty poll; a long poll returns with the first record, so that latency does not
    depend on that sleep.
    """

    def __init__(self, *args: Any, attempts: Attempts, **kwargs: Any) -> None:
        self._attempts = attempts
        self._gathering = Gathering()
        self._min_bytes = kwargs.get("fetch_min_bytes", 1)
        super().__init__(*args, **kwargs)

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None) -> Any:
        """As aiokafka's, with a long poll; what follows may be told to gather."""
        self._attempts.polled()
        found = await super().getmany(*partitions, timeout_ms=max(timeout_ms, LONG_POLL_MS), max_records=max_records)
        self._attempts.brought(len(found))
        self._gather(sum(map(len, found.values())))
        return found

    def _gather(self, records: int) -> None:
        """What the next fetches wait for at the broker: then one brings what else would have been several."""
        gather_ms = int(self._gathering.after(records))
        if self._fetcher is not None and self._min_bytes < GATHERED_BYTES:
            self._fetcher._fetch_min_bytes = GATHERED_BYTES if gather_ms else self._min_bytes
            self._fetcher._fetch_max_wait_ms = gather_ms or LONG_POLL_MS


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the worker of its partitions. aiokafka swallows what a listener raises and goes on: a worker would live and do nothing."""

    def __init__(self, assigned: PartitionsCallback, revoked: PartitionsCallback, failed: FailedCallback) -> None:
        self._assigned = assigned
        self._revoked = revoked
        self._failed = failed

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._tell(self._revoked, set(revoked))

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._tell(self._assigned, set(assigned))

    async def _tell(self, callback: PartitionsCallback, partitions: set[TopicPartition]) -> None:
        try:
            await callback(partitions)
        except Exception as error:
            logger.exception("partitions could not be taken or left")
            self._failed(error)


class BatchSubscription:
    """One consumer of a group. The handler gets batches one after the other and must not raise; offsets are committed by `commit` only.

    Delivery: at least once, in partition order; a batch never mixes assignments. A broker that goes away is waited for, also at the start.
    """

    def __init__(
        self,
        settings: MeshSettings,
        bootstrap: str,
        topics: Sequence[str],
        group: str,
        *,
        handler: Handler,
        assigned: PartitionsCallback,
        revoked: PartitionsCallback,
        failed: FailedCallback,
        member: str,
        max_records: int,
        min_bytes: int = 1,
    ) -> None:
        self._settings = settings
        self._bootstrap = bootstrap
        self._topics = tuple(topics)
        self.group = group
        self._handler = handler
        self._listener = _Listener(assigned, revoked, failed)
        self._member = member
        self._max_records = max_records
        self._min_bytes = min_bytes
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None
        self._attempts = Attempts()
        self._looking: asyncio.Task[None] | None = None
        self.last_times: dict[TopicPartition, int] = {}
        """The timestamp (ms) of the last record of each partition that was handed to the handler."""

    async def _handle(self, records: Batch) -> None:
        await self._handler(records)
        self.last_times.update({TopicPartition(record.topic, record.partition): record.timestamp for record in records})

    @property
    def last_poll(self) -> float:
        """`time.monotonic()` of the last poll that was worth the name; see `infra.kafka.attempts`."""
        return self._attempts.last

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """The running consumer; TransientError before `start` and after `stop`."""
        consumer = None if self._subscriber is None else self._subscriber.consumer
        if consumer is None:
            raise TransientError(f"the consumer of {self.group} is not running")
        return consumer

    async def start(self) -> None:
        """Connect and subscribe; raises TransientError when the broker does not answer, and may then be called again."""
        settings = self._settings
        read_any_header_name()
        # apply_types=False: no dependency injection, which resolves each parameter in a thread. Commits, parsing and decoding are ours:
        # FastStream's defaults acknowledge early, drop batches with an unreadable header, and decode each record.
        broker = KafkaBroker(
            self._bootstrap,
            client_id=self._member,
            consumer_only=True,
            apply_types=False,
            graceful_timeout=settings.grace_seconds,
            logger=logger,
            log_level=logging.DEBUG,
        )
        self._subscriber = broker.subscriber(
            *self._topics,
            group_id=self.group,
            batch=True,
            max_records=self._max_records,
            batch_timeout_ms=settings.batch_timeout_ms,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            listener=self._listener,
            no_reply=True,
            parser=_whole_batch,
            decoder=_raw_records,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=settings.kafka_max_poll_interval_ms,
            isolation_level="read_committed",
            fetch_max_wait_ms=LONG_POLL_MS,
            fetch_min_bytes=self._min_bytes,
            max_partition_fetch_bytes=1_048_576,
        )
        self._subscriber(self._handle)
        self._broker = broker
        try:
            builder = await broker.connect()
            keywords = getattr(builder, "keywords", {})
            broker.config.broker_config.builder = partial(AttemptConsumer, attempts=self._attempts, **keywords)
            await broker.start()
            self._looking = asyncio.create_task(self._look(), name=f"attempts-{self.group}")
        except (KafkaError, OSError) as error:
            await self.stop()
            raise TransientError(f"Kafka at {self._bootstrap} does not answer: {error}") from error

    async def stop(self) -> None:
        """Leave the group; the caller has drained and committed before."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.stop()
        self._subscriber = None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(TransientError):
                await self._attempts.look(self.consumer)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit the next offsets to read, of partitions that are still assigned; False when the group has moved on."""
        try:
            consumer = self.consumer
            assigned = consumer.assignment()
            mine = {partition: offset for partition, offset in offsets.items() if partition in assigned}
            if mine:
                async with asyncio.timeout(self._settings.kafka_session_timeout_ms / 1000):
                    await consumer.commit(mine)
            return True
        except (CommitFailedError, IllegalStateError, KafkaError, TransientError, TimeoutError) as error:
            logger.warning("offsets of %s not committed, the records will be delivered again: %s", self.group, error)
            return False

    def lag(self, done: Mapping[TopicPartition, int] | None = None) -> dict[TopicPartition, int]:
        """Records not yet fetched, by assigned partition, where the high-water mark is known; those from `done` on where that is given,
        and none of a partition that is not in it."""
        result = {}
        for partition, position in self.positions().items():
            highwater, place = self.consumer.highwater(partition), position if done is None else done.get(partition)
            if highwater is not None and place is not None:
                result[partition] = max(0, highwater - place)
        return result

    def positions(self) -> dict[TopicPartition, int]:
        """The offset of the next record to fetch, by assigned partition, where it is known."""
        try:
            consumer = self.consumer
        except TransientError:
            return {}
        result = {}
        for partition in consumer.assignment():
            state = consumer._subscription.subscription.assignment.state_value(partition)
            if state is not None and state.has_valid_position:
                result[partition] = state.position
        return result


async def _whole_batch(messages: Any, original: Any) -> Any:
    """FastStream's parser step: wrap the records without decoding a header."""
    from faststream.kafka.message import KafkaMessage

    return KafkaMessage(body=messages, raw_message=messages, headers={}, message_id="", correlation_id="", consumer=None)  # type: ignore[arg-type]


async def _raw_records(message: Any, original: Any) -> Any:
    """FastStream's decoder step: the records themselves."""
    return message.raw_message
