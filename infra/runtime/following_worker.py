"""Follows the logs of some contexts over Kafka: batches of events in, what they come to saved with a checkpoint; base of the projection
worker and of process managers.

The checkpoint row is the only truth: on assignment the worker seeks to it and ignores the group's offsets. Where Kafka no longer holds
the next offset, or the follower is new, it catches up from the event store first. An event at or below its partition's checkpoint is a
repeat.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from contracts.envelope import RecordedEvent, UnreadableEnvelope, decode_stored, parse_event
from infra.errors import TransientError
from infra.event_store.base import EventStore
from infra.kafka.subscription import GATHERED_BYTES, BatchSubscription
from infra.postgres.errors import CheckpointMoved
from infra.read_models.apply import Applied
from infra.read_models.catch_up import catch_up
from infra.read_models.checkpoints import Checkpoint, CheckpointWriter, Follower, Move
from infra.read_models.parked import ParkedEvents
from infra.read_models.saving import apply_and_save
from infra.resilience.retry import Abandoned, TransientRetry
from infra.runtime.connected_worker import DRAIN_SHARE, ConnectedWorker
from infra.settings import MeshSettings
from infra.telemetry import names
from infra.telemetry.bounded import timed
from infra.telemetry.telemetry import Telemetry

logger = logging.getLogger(__name__)

MAX_RECORDS = 2_000
WATCH_SECONDS = 2.0


class Source(NamedTuple):
    """A topic that is followed: whose it is, and how what Kafka no longer holds is read from the store."""

    context: str
    read: Callable[[EventStore, int, int], Awaitable[tuple[list[RecordedEvent], int]]]


async def read_events(store: EventStore, after: int, limit: int) -> tuple[list[RecordedEvent], int]:
    """The events of a context's log, for its events topic."""
    return await store.read_events(after, limit)


async def read_rejections(store: EventStore, after: int, limit: int) -> tuple[list[RecordedEvent], int]:
    """The rejections of a context's log, for its rejections topic."""
    head = await store.head()
    found = []
    for entry in await store.read_log(after, limit):
        if entry.kind == "rejection" and entry.position <= head:
            metadata, data = decode_stored(entry.type_name, entry.aggregate_id, entry.state)
            found.append(RecordedEvent(metadata, data, entry.version, entry.position, store.context))
    return found, max(after, min(head, after + limit))


class FollowingWorker(ConnectedWorker):
    """Keeps one follower up to date: `model` says what an event comes to, `self._writer` where that goes. `start` never fails for a
    server that is away."""

    def __init__(
        self,
        worker_name: str,
        model: Follower,
        sources: Mapping[str, Source],
        settings: MeshSettings,
        telemetry: Telemetry,
        *,
        durable: bool = False,
        gathers: bool = False,
    ) -> None:
        # What is saved and its checkpoint are lost together or not at all, and are then made again: no commit needs to wait for the disk.
        super().__init__(worker_name, sorted({source.context for source in sources.values()}), settings, telemetry, durable=durable)
        self._model = model
        self._writer = self.writer()
        self._sources = {settings.topic_prefix + topic: source for topic, source in sources.items()}
        self._parked = ParkedEvents(self.database, model, self._writer)
        self._group = f"{settings.topic_prefix}agentmesh.{worker_name}"
        self._subscription = BatchSubscription(
            settings,
            settings.kafka_bootstrap,
            list(self._sources),
            self._group,
            handler=self._handle,
            assigned=self._assigned,
            revoked=self._revoked,
            failed=self.fail,
            member=self.identity,
            max_records=MAX_RECORDS,
            min_bytes=GATHERED_BYTES if gathers else 1,
        )
        self._checkpoints: dict[TopicPartition, Checkpoint] = {}
        # Where Kafka goes on, of partitions that broke off; they catch up from the store first.
        self._goes_on: dict[TopicPartition, int] = {}
        self._unproven: set[TopicPartition] = set()
        self._ahead: dict[TopicPartition, int] = {}
        self._parked_aggregates: set[str] = set()
        self._writing = asyncio.Lock()
        self._lost = asyncio.Event()
        self._seek_task: asyncio.Task[None] | None = None
        self._begin_at_0()

    def _begin_at_0(self) -> None:
        """What is counted later is there from the beginning."""
        metrics, name = self.telemetry.metrics, self._model.name
        metrics.projected_events_total.labels(projection=name)
        metrics.dead_letters_total.labels(topic=f"projection:{name}")
        self._requeued = metrics.dlq_requeued_total.labels(topic=f"projection:{name}")
        metrics.rebalances_total.labels(group=self._group)
        metrics.retries_total.labels(name="project")
        self._batches = metrics.batch_records.labels(group=self._group)
        self._handling = metrics.handle_duration_seconds.labels(group=self._group)

    # -- life ------------------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def writer(self) -> CheckpointWriter:
        """What saves; called once, while the worker is made."""

    async def prepare(self) -> None:
        """Look whether there is what the writer writes to; called before the first record."""

    def saved(self, events: Sequence[RecordedEvent]) -> None:
        """Called after each commit with the events that are in now, parked ones too; must neither wait nor raise."""

    def saved_unseen(self) -> None:
        """Called where there may be commits that `saved` was not told of: an owner of these partitions before us made them, or events that
        were parked are in now; must neither wait nor raise."""

    def required_topics(self) -> Collection[str]:
        """The topics that are followed."""
        return {topic.removeprefix(self.settings.topic_prefix) for topic in self._sources}

    async def run(self) -> None:
        """Subscribe; then the subscription hands batches to `_handle`, and this applies requeued events and reports lag."""
        retry = self.retry(self.stopping)
        await retry("prepare", self.prepare)
        await retry("subscribe", self._subscription.start)
        await self._watch(self.retry(self.stopping, beside=True))

    async def drain(self) -> None:
        """Finish the batch in work or give it back, leave the group."""
        try:
            async with asyncio.timeout(self.settings.grace_seconds * DRAIN_SHARE), self._writing:
                self._lost.set()
        except TimeoutError:
            self._lost.set()
        await self._drop_seek()
        await self._subscription.stop()

    def last_attempt(self) -> float:
        """`time.monotonic()` of the last poll, or of the last try at a server that is away."""
        return max(super().last_attempt(), self._subscription.last_poll)

    # -- partitions ------------------------------------------------------------------------------------------------------------------

    async def _assigned(self, partitions: set[TopicPartition]) -> None:
        self.telemetry.metrics.rebalances_total.labels(group=self._group).inc()
        self.working = True
        self._lost = asyncio.Event()
        self._checkpoints = {}
        if not partitions:
            return
        # Nothing is fetched from the group's offsets, which are ignored; catching up may take long and must not hold the rebalance.
        self._subscription.consumer.pause(*partitions)
        self._seek_task = asyncio.create_task(self._take_up(partitions), name=f"{self.name}-take-up")

    async def _take_up(self, partitions: set[TopicPartition]) -> None:
        try:
            await self.retry(self._lost)("take up", lambda: self._try_to_seek(partitions))
        except Abandoned:
            return
        except Exception as error:
            self.fail(error)

    async def _try_to_seek(self, partitions: set[TopicPartition]) -> None:
        try:
            await self._seek(partitions)
        except CheckpointMoved as error:
            # A worker that does not know yet that it lost the partitions; it will fail at its next save.
            raise TransientError(str(error)) from error

    async def _seek(self, partitions: set[TopicPartition]) -> None:
        consumer = self._subscription.consumer
        try:
            beginnings = await consumer.beginning_offsets(list(partitions))
            ends = await consumer.end_offsets(list(partitions))
        except KafkaError as error:
            raise TransientError(f"offsets of {self.name} unknown: {error}") from error
        checkpoints: dict[TopicPartition, Checkpoint] = {}
        for topic in self._sources:
            checkpoints.update(await self._writer.checkpoints(topic, [p.partition for p in partitions if p.topic == topic]))
        gone = {
            partition: self._goes_on.get(partition, beginnings[partition])
            for partition, checkpoint in checkpoints.items()
            if partition in self._goes_on
            or not beginnings[partition] <= checkpoint.next_offset <= ends[partition]
            or checkpoint.position == 0
        }
        self._parked_aggregates = await self._writer.parked_aggregates()
        async with self._writing:
            for topic, source in self._sources.items():
                mine = {partition: offset for partition, offset in gone.items() if partition.topic == topic}
                if mine:
                    checkpoints.update(
                        await catch_up(
                            self._model, self._writer, partial(source.read, self.stores[source.context]), checkpoints, mine,
                            self.settings.partitions, self._parked_aggregates, self.attempted, self._count,
                        )
                    )  # fmt: skip
            self._unproven = {partition for partition in checkpoints if checkpoints[partition].next_offset > beginnings[partition]} - set(
                gone
            )
            for partition, checkpoint in checkpoints.items():
                consumer.seek(partition, checkpoint.next_offset - (partition in self._unproven))
            self._checkpoints = checkpoints
            self._goes_on = {partition: offset for partition, offset in self._goes_on.items() if partition not in gone}
        self.saved_unseen()
        consumer.resume(*partitions)

    async def _revoked(self, partitions: set[TopicPartition]) -> None:
        self._lost.set()
        await self._drop_seek()
        async with self._writing:
            self._checkpoints = {}

    async def _drop_seek(self) -> None:
        task, self._seek_task = self._seek_task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # -- batches ---------------------------------------------------------------------------------------------------------------------

    async def _handle(self, records: Sequence[ConsumerRecord]) -> None:
        """FastStream's handler: must not raise, or the framework would fetch on past the batch."""
        try:
            async with self._writing:
                mine = [record for record in records if TopicPartition(record.topic, record.partition) in self._checkpoints]
                broken = self._broken_off(mine)
                mine = [record for record in mine if TopicPartition(record.topic, record.partition) not in broken] if broken else mine
                if mine and not self.stopping.is_set():
                    await self._project(mine)
            if broken:
                self._goes_on.update(broken)
                await self._take_up_again(f"Kafka does not go on where {', '.join(map(str, broken))} ended")
        except Abandoned as error:
            logger.warning("batch of %s given back: %s", self.name, error)
        except CheckpointMoved as error:
            # A zombie after a pause, or a repeat of a save whose answer was lost.
            await self._take_up_again(str(error))
        except Exception as error:
            logger.exception("the batch could not be projected; this process ends")
            self.fail(error)

    def _broken_off(self, records: Sequence[ConsumerRecord]) -> dict[TopicPartition, int]:
        """Partitions of which Kafka has lost what came next, or of a topic that was made anew under its name; with the offset at which
        each goes on. What is missing is in the store.

        The relay writes offset after offset, so the first record must have the checkpoint's next offset. After a start the record before
        that is read once more: in a topic that was made anew its position is above the checkpoint's.
        """
        broken: dict[TopicPartition, int] = {}
        seen: set[TopicPartition] = set()
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            if partition in seen:
                continue
            seen.add(partition)
            checkpoint = self._checkpoints[partition]
            if partition in self._unproven and record.offset == checkpoint.next_offset - 1:
                follows = self._position(record) <= checkpoint.position
            else:
                follows = record.offset == checkpoint.next_offset
            self._unproven.discard(partition)
            if not follows:
                broken[partition] = record.offset
        return broken

    def _position(self, record: ConsumerRecord) -> int:
        try:
            return parse_event(record.key, record.value, record.headers, record.timestamp, self._sources[record.topic].context).position
        except UnreadableEnvelope:
            return 0

    async def _take_up_again(self, reason: str) -> None:
        """Forget what was known of the partitions and take them up from their checkpoints."""
        logger.warning("%s: %s; taking up the partitions again", self.name, reason)
        partitions = set(self._checkpoints)
        await self._drop_seek()
        async with self._writing:
            self._checkpoints = {}
        if self._lost.is_set():
            return  # a rebalance came meanwhile; its assignment takes up what is then ours
        with contextlib.suppress(TransientError):
            assigned = partitions & self._subscription.consumer.assignment()
            if assigned:
                await self._assigned(assigned)

    async def _project(self, records: list[ConsumerRecord]) -> None:
        self.attempted()
        events, reached = self._new_events(records)
        if not reached:
            return
        expected = {partition: self._checkpoints[partition] for partition in reached}
        retry = self.retry(self._lost)

        async def save(move: Move) -> None:
            await retry("project", lambda: self._writer.save(move))

        with (
            self.telemetry.tracing.batch_span(
                names.OPERATION_PROCESS,
                None,
                (event.metadata.traceparent for event in events),
                {names.MESSAGING_BATCH_MESSAGE_COUNT: len(records), names.MESSAGING_CONSUMER_GROUP_NAME: self._group},
                f"{names.OPERATION_PROCESS} {self.name}",
            ),
            timed(self._handling),
        ):
            applied = await apply_and_save(self._model, events, expected, reached, self._parked_aggregates, save)
        self._batches.observe(len(records))
        self._checkpoints.update(reached)
        self._count(events, applied)

    def _new_events(self, records: list[ConsumerRecord]) -> tuple[list[RecordedEvent], dict[TopicPartition, Checkpoint]]:
        reached: dict[TopicPartition, Checkpoint] = {}
        events: list[RecordedEvent] = []
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            checkpoint = reached.get(partition) or self._checkpoints[partition]
            position = checkpoint.position
            if record.offset >= checkpoint.next_offset:
                try:
                    event = parse_event(record.key, record.value, record.headers, record.timestamp, self._sources[record.topic].context)
                except UnreadableEnvelope as error:
                    # Only the relay writes here; whatever else does is not an event of the store and has no position in it.
                    logger.error("a record at %s/%d/%d is no event: %s", record.topic, record.partition, record.offset, error)
                else:
                    if event.position > position:
                        events.append(event)
                        position = event.position
                reached[partition] = Checkpoint(record.offset + 1, position)
        return events, reached

    # -- watching --------------------------------------------------------------------------------------------------------------------

    def _count(self, events: list[RecordedEvent], applied: Applied) -> None:
        self.saved(events)
        metrics, name = self.telemetry.metrics, self._model.name
        metrics.projected_events_total.labels(projection=name).inc(len(events))
        if events:
            recorded = datetime.fromisoformat(events[-1].metadata.time).timestamp()
            metrics.projection_last_event_timestamp_seconds.labels(projection=name).set(recorded)
        if applied.parked:
            metrics.dead_letters_total.labels(topic=f"projection:{name}").inc(len(applied.parked))

    async def _watch(self, retry: TransientRetry) -> None:
        metrics, name = self.telemetry.metrics, self._model.name
        while not self.stopping.is_set():
            lag = self._subscription.lag({partition: checkpoint.next_offset for partition, checkpoint in self._checkpoints.items()})
            seconds = self.report(self._group, lag, self._subscription.last_times)
            if self._seek_task is None or self._seek_task.done():  # until all is taken up nobody knows how far behind this is
                metrics.projection_lag_events.labels(projection=name).set(sum(lag.values()))
                metrics.projection_lag_seconds.labels(projection=name).set(seconds)
            if self._checkpoints and self._parked_aggregates:
                async with self._writing:
                    await retry("parked", self._apply_requeued)
            await self._notice_loss()
            await self.pause(WATCH_SECONDS)

    async def _notice_loss(self) -> None:
        """A consumer whose next record Kafka has deleted goes on behind the gap, and where nothing follows it would never be noticed."""
        before = self._ahead
        async with self._writing:
            places = self._subscription.positions()
            self._ahead = {p: places[p] for p, checkpoint in self._checkpoints.items() if places.get(p, 0) > checkpoint.next_offset}
        # A batch may be on its way to the handler, but not from one look to the next.
        lost = {partition: offset for partition, offset in self._ahead.items() if before.get(partition) == offset}
        if lost:
            self._ahead = {}
            self._goes_on.update(lost)
            await self._take_up_again(f"Kafka has deleted what followed in {', '.join(map(str, lost))}")

    async def _apply_requeued(self) -> None:
        applied = await self._parked.apply_requeued(set(self._checkpoints), self.settings.partitions, self.settings.topic_prefix)
        if applied:
            self._requeued.inc(applied)
            self.saved_unseen()
        # Read again in any case: what held an aggregate back may have been applied by another worker, or discarded.
        self._parked_aggregates = await self._writer.parked_aggregates()
