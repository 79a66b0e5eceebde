"""The command worker: batches of commands in, one transaction out; one per context, run by `agentmesh run <context>`.

Promises: a command whose produce was acknowledged gets exactly one outcome; commands of one aggregate are decided in their
order on the topic;
a command that cannot be processed is parked and stops nothing but its own aggregate. Offsets follow the transaction, never lead it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial

from aiokafka import ConsumerRecord, TopicPartition

from contracts.message import Command
from contracts.registry import commands_of
from contracts.rejections import rejected_type
from contracts.topics import commands_topic
from infra.errors import TransientError
from infra.kafka.subscription import BatchSubscription
from infra.resilience.retry import Abandoned
from infra.runtime.attempts import PostgresAttempts
from infra.runtime.base import AggregateType, ReferenceData
from infra.runtime.batch import BatchProcessor, Group, now_texts
from infra.runtime.connected_worker import DRAIN_SHARE, ConnectedWorker
from infra.runtime.decide import BatchContext
from infra.runtime.decode import Incoming, Unreadable, decode_record
from infra.runtime.identifiers import uuid4_texts
from infra.runtime.offsets import OffsetTracker
from infra.runtime.redrive import Redrive
from infra.runtime.references import ReferenceReader
from infra.runtime.state_cache import StateCache
from infra.runtime.told import tell_unreadable
from infra.settings import MeshSettings
from infra.telemetry import names
from infra.telemetry.bounded import exemplar
from infra.telemetry.telemetry import Telemetry
from infra.telemetry.tracing import MessageSpans

logger = logging.getLogger(__name__)

LAG_INTERVAL_SECONDS = 2.0
# A revoke waits this long for the batch in work; then the batch is given back and the records come again.
REVOKE_SECONDS = 20.0
# Without a goodbye the next owner only looks more closely: no reason to hold a rebalance or a drain up.
GOODBYE_SECONDS = 2.0
# More than are handled between two lagging commits.
EAGER_BATCHES = 200


class CommandWorker(ConnectedWorker):
    """Consumes one context's command topic. See the module's promises; `start` raises ConfigurationError, never for a server
    that is away."""

    def __init__(
        self,
        aggregate_type: AggregateType,
        context: str,
        settings: MeshSettings,
        telemetry: Telemetry,
        *,
        cached_aggregates: int = 5_000,
        reference: ReferenceData | None = None,
    ) -> None:
        super().__init__(context, [context], settings, telemetry)
        self.context = context
        self._aggregate_type = aggregate_type
        self._group = f"{settings.topic_prefix}agentmesh.{context}"
        self._topic = settings.topic_prefix + commands_topic(context)
        self._group_attribute = {names.MESSAGING_CONSUMER_GROUP_NAME: self._group}
        self._commands: dict[str, type[Command]] = dict(commands_of(context))
        store = self.stores[context]
        self._attempts = PostgresAttempts(self.database, context, self._group, self.identity)
        self._subscription = self._make_subscription()
        self._offsets = OffsetTracker(self._subscription)
        self._processor = BatchProcessor(
            store,
            StateCache(cached_aggregates),
            self._attempts,
            telemetry.metrics,
            commands_topic(context),
            settings.attempts_before_parking,
            None if reference is None else ReferenceReader(reference, self.database),
            aggregate_type.measured,
        )
        self._redrive = Redrive(
            store,
            self.database,
            self._commands,
            self._processor,
            self._attempts,
            self._in_batch,
            telemetry.metrics,
            settings.attempts_before_parking,
        )
        telemetry.metrics.rebalances_total.labels(group=self._group)
        self._event_ids = uuid4_texts()
        self._abandon = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._mine: set[TopicPartition] = set()
        # Set from a revoke to the next assignment, which resets every position to the committed offset: what is fetched in between is
        # dropped, because a batch given back must not be overtaken by a later one of its partition.
        self._revoking = False
        self._probing: dict[TopicPartition, int] = {}
        # So many more batches are committed one by one: the next start after a crash then begins with the batch that crashed this one.
        self._eager = 0
        # Assigned, but not asked yet how they were left: the first batch asks, because it may hold the record that killed the last owner.
        self._untaken: set[TopicPartition] = set()

    def _make_subscription(self) -> BatchSubscription:
        return BatchSubscription(
            self.settings,
            self.settings.kafka_bootstrap,
            [self._topic],
            self._group,
            handler=self._handle,
            assigned=self._assigned,
            revoked=self._revoked,
            failed=self.fail,
            member=self.identity,
            max_records=self.settings.batch_max_records,
        )

    # -- life ------------------------------------------------------------------------------------------------------------------------

    def required_topics(self) -> Collection[str]:
        """The context's command topic."""
        return {commands_topic(self.context)}

    async def run(self) -> None:
        """Subscribe; then the subscription hands batches to `_handle`, and this looks for requeued records and reports lag."""
        await self.retry(self.stopping)("subscribe", self._subscription.start)
        self._offsets.start()
        await asyncio.gather(self._redrive.run(self.stopping, self.retry(self.stopping, beside=True)), self._watch())

    async def drain(self) -> None:
        """Take no more records, finish the batch in work or give it back, commit, say goodbye."""
        await self._finish_batch(self.settings.grace_seconds * DRAIN_SHARE)
        await self._offsets.stop()
        await self._say_goodbye(self._mine)
        await self._subscription.stop()

    async def _finish_batch(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            self._abandon.set()
            await self._idle.wait()

    def last_attempt(self) -> float:
        """`time.monotonic()` of the last poll, or of the last try at a server that is away."""
        return max(super().last_attempt(), self._subscription.last_poll)

    # -- partitions ------------------------------------------------------------------------------------------------------------------

    async def _assigned(self, partitions: set[TopicPartition]) -> None:
        self.telemetry.metrics.rebalances_total.labels(group=self._group).inc()
        self.working = True
        # Nothing here waits for a server: heartbeats begin after this.
        self._mine = set(partitions)
        self._untaken = set(partitions)
        self._probing = {partition: left for partition, left in self._probing.items() if partition in partitions}
        self._processor.be_cautious()
        self._abandon.clear()
        self._revoking = False

    async def _take_over(self) -> None:
        wanted = frozenset(self._untaken)
        crashed = await self.retry(self._abandon)("take over", lambda: self._attempts.take(wanted))
        self._untaken = set()
        self._probing.update(dict.fromkeys(crashed, self.settings.batch_max_records))
        if crashed:
            self._eager = EAGER_BATCHES
            logger.warning("%d partitions were left by a crash: their next records are tried one by one", len(crashed))

    async def _revoked(self, partitions: set[TopicPartition]) -> None:
        self._revoking = True
        await self._finish_batch(REVOKE_SECONDS)
        await self._offsets.commit()
        self._offsets.forget(partitions)
        await self._say_goodbye(partitions)
        self._mine -= partitions

    async def _say_goodbye(self, partitions: set[TopicPartition]) -> None:
        clean = partitions - set(self._probing)
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._attempts.leave(clean)
        except (TransientError, TimeoutError) as error:
            logger.warning("left partitions without a goodbye, their next batch is tried record by record: %s", error)

    # -- batches ---------------------------------------------------------------------------------------------------------------------

    async def _handle(self, records: Sequence[ConsumerRecord]) -> None:
        """FastStream's handler: must not raise, or the framework would fetch on past the batch."""
        if self.stopping.is_set() or self._revoking:
            return
        self._idle.clear()
        try:
            mine = [record for record in records if TopicPartition(record.topic, record.partition) in self._mine]
            if mine and self._untaken:
                await self._take_over()
            if mine:
                active = self.telemetry.metrics.active_requests
                active.set(len(mine))
                await self._settle(mine)
                active.set(0)
        except Abandoned as error:
            logger.warning("batch given back: %s", error)
        except Exception as error:
            logger.exception("the batch could not be settled; this process ends")
            self.fail(error)
        finally:
            self._idle.set()

    async def _settle(self, records: list[ConsumerRecord]) -> None:
        started = time.perf_counter()
        self.attempted()
        commands = self._commands
        groups: dict[str, Group] = {}
        unreadable: list[Unreadable] = []
        for record in records:
            decoded = decode_record(record, commands)
            if isinstance(decoded, Unreadable):
                unreadable.append(decoded)
                continue
            group = groups.get(decoded.aggregate_id)
            if group is None:
                group = groups[decoded.aggregate_id] = Group(decoded.aggregate_id)
            group.items.append(decoded)
        metrics = self.telemetry.metrics
        with self.telemetry.tracing.batch_span(
            names.OPERATION_PROCESS,
            self._topic,
            links=(item.metadata.traceparent for group in groups.values() for item in group.items),
            attributes={names.MESSAGING_BATCH_MESSAGE_COUNT: len(records), **self._group_attribute},
        ):
            probing = self._is_probing if self._probing else None
            with self._in_batch() as context:
                await self._processor.settle(context, list(groups.values()), unreadable, self.retry(self._abandon), probing)
            trace = exemplar()
        if unreadable:
            tell_unreadable(unreadable)
            metrics.dead_letters_total.labels(topic=commands_topic(self.context)).inc(len(unreadable))
        self._offsets.done(records)
        if self._eager or self._probing:
            await self._commit_eagerly(records)
        metrics.batch_records.labels(group=self._group).observe(len(records))
        metrics.handle_duration_seconds.labels(group=self._group).observe(time.perf_counter() - started, trace)

    async def _commit_eagerly(self, records: list[ConsumerRecord]) -> None:
        self._eager = max(0, self._eager - 1)
        for record in records if self._probing else ():
            partition = TopicPartition(record.topic, record.partition)
            left = self._probing.get(partition)
            if left is not None:
                self._probing[partition] = left - 1
                if left <= 1:
                    del self._probing[partition]
        await self._offsets.commit()

    def _is_probing(self, item: Incoming) -> bool:
        return TopicPartition(item.record.topic, item.record.partition) in self._probing

    @contextmanager
    def _in_batch(self) -> Iterator[BatchContext]:
        """What is the same for a batch. The spans of its commands end with it."""
        now, text = now_texts()
        with self.telemetry.tracing.message_spans(names.OPERATION_PROCESS, self._topic, self._group_attribute) as spans:
            yield self._batch_context(now, text, spans)

    def _batch_context(self, now: datetime, text: str, spans: MessageSpans) -> BatchContext:
        return BatchContext(
            aggregate_type=self._aggregate_type,
            rejected_type=rejected_type(self.context),
            event_source=f"/agentmesh/{self.context}",
            consumer_group=self._group,
            handler_version=self.telemetry.version,
            now=now,
            recorded_time=text,
            new_event_id=self._event_ids.__next__,
            traceparent=partial(self._traceparent, spans),
        )

    def _traceparent(self, spans: MessageSpans, item: Incoming, first: str | None) -> str | None:
        kind = self._aggregate_type
        return spans.traceparent(item.metadata, first, goes_on=type(item.command) in kind.go_on, wholly=kind.wholly_traced)

    # -- watching --------------------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while not self.stopping.is_set():
            self.report(self._group, self._subscription.lag(), self._subscription.last_times)
            await self.pause(LAG_INTERVAL_SECONDS)
