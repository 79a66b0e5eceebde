"""Tails one context's log and publishes it page by page; several run in the relay worker, one leads each context.

Promises: an entry that is committed reaches Kafka; first deliveries come in position order, so in stream order for each aggregate; a repeat
may come after its successors (after a failed page, or by a leader that does not know yet that it was replaced), whole and in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from contracts.envelope import decode_stored
from infra.errors import TransientError
from infra.event_store.base import EventStore, LogEntry
from infra.event_store.heads import LogHeads
from infra.kafka.producer import PagePublisher
from infra.relay_positions.base import Leadership, LostLeadership, RelayPosition
from infra.resilience.gathering import Gathering
from infra.resilience.retry import delay_ms
from infra.telemetry import names
from infra.telemetry.bounded import exemplar
from infra.telemetry.telemetry import Telemetry
from services.relay.records import outgoing_records
from services.relay.settings import RelaySettings
from services.relay.work_topics import WorkTopics

logger = logging.getLogger(__name__)


class ContextRelay:
    """The relay of one context. After any failed send nothing more of the page counts: the producer is closed, and the page starts anew."""

    def __init__(
        self,
        store: EventStore,
        position: RelayPosition,
        publisher: PagePublisher,
        settings: RelaySettings,
        telemetry: Telemetry,
        topic_prefix: str,
        attempted: Callable[[], None],
        work_topics: WorkTopics,
        heads: LogHeads,
    ) -> None:
        self.context = store.context
        self._store = store
        self._position = position
        self._publisher = publisher
        self._settings = settings
        self._telemetry = telemetry
        self._prefix = topic_prefix
        self._attempted = attempted
        self._work_topics = work_topics
        self._heads = heads
        self._ahead: asyncio.Task[list[LogEntry]] | None = None
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Lead when possible and publish, until `stop` is set; waits out every transient failure, gives the leadership back at the end."""
        try:
            await self._run(stop)
        finally:
            await self._position.release()

    async def _run(self, stop: asyncio.Event) -> None:
        metrics = self._telemetry.metrics
        leader = metrics.relay_leader.labels(context=self.context)
        # There before the first page, and 0 where this process stands by.
        leader.set(0)
        metrics.events_relayed_total.labels(context=self.context)
        metrics.retries_total.labels(name="relay")
        while not stop.is_set():
            self._attempted()
            try:
                leadership = await self._position.try_lead()
                if leadership is None:
                    await _wait(stop, self._settings.leader_poll_seconds)
                    continue
                logger.info("relay leads %s from position %d, epoch %d", self.context, leadership.position, leadership.epoch)
                leader.set(1)
                await self._lead(leadership, stop)
            except LostLeadership as error:
                logger.warning("%s", error)
            except TransientError as error:
                self._failures += 1
                metrics.retries_total.labels(name="relay").inc()
                logger.warning("relay of %s starts anew from its recorded position: %s", self.context, error)
                await _wait(stop, delay_ms(self._failures) / 1000)
            finally:
                leader.set(0)
                metrics.outbox_pending.remove(self.context)  # another one tells it now
                await self._drop_ahead()
                await self._publisher.close()

    async def _lead(self, leadership: Leadership, stop: asyncio.Event) -> None:
        metrics = self._telemetry.metrics
        pending = metrics.outbox_pending.labels(context=self.context)
        relayed = metrics.events_relayed_total.labels(context=self.context)
        page_seconds = metrics.relay_page_seconds.labels(context=self.context)
        idle, gathering = 0, Gathering()
        while not stop.is_set():
            self._attempted()
            # While nothing comes only the head is asked for: the cheaper question, and one for all contexts.
            page = (
                await self._next_page(leadership.position) if not idle or await self._heads.of(self.context) > leadership.position else []
            )
            if not page:
                pending.set(0)
                await _wait(stop, self._idle_seconds(idle))
                idle += 1
                continue
            idle = 0
            started = time.perf_counter()
            last = page[-1].position
            if len(page) == self._settings.page_size:
                # Reading on while the broker acknowledges; what is read is published only after all of this page is acknowledged.
                self._ahead = asyncio.create_task(self._store.read_log(last, self._settings.page_size))
                pending.set(await self._store.head() - leadership.position)
            with self._telemetry.tracing.batch_span(
                names.OPERATION_SEND,
                None,
                self._links(page),
                {names.MESSAGING_BATCH_MESSAGE_COUNT: len(page)},
                f"{names.OPERATION_SEND} {self.context}",
            ):
                await self._work_topics.make_for(page)
                await self._publisher.publish(outgoing_records(self.context, page, self._prefix))
                trace = exemplar()
            leadership = await self._position.advance(leadership, last)
            self._failures = 0
            relayed.inc(len(page))
            page_seconds.observe(time.perf_counter() - started, trace)
            if (gather_ms := gathering.after(len(page))) and len(page) < self._settings.page_size:
                await _wait(stop, gather_ms / 1000)

    def _idle_seconds(self, times: int) -> float:
        """A short wait while work is likely, growing to the longest one: an idle relay should cost next to nothing."""
        settings = self._settings
        return min(settings.idle_poll_ms * 1.1 ** min(times, 100), settings.longest_idle_poll_ms) / 1000

    def _links(self, page: list[LogEntry]) -> Iterator[str | None]:
        """The traces of the page's entries; read only where spans are recorded."""
        stored = (entry for entry in page if entry.dead_letter is None)
        return (decode_stored(entry.type_name, entry.aggregate_id, entry.state)[0].traceparent for entry in stored)

    async def _next_page(self, after: int) -> list[LogEntry]:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            return await ahead
        return await self._store.read_log(after, self._settings.page_size)

    async def _drop_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), timeout=seconds)
