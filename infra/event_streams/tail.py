"""The tail of the logs, one for all readers of a process: committed events in, each reader's own out; run by the gateway while there are
readers.

Positions are drawn and committed under one lock (infra/event_store/base.py), so whoever has read up to a position has missed nothing below
it, however late a transaction commits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Mapping
from typing import Protocol

from contracts.envelope import RecordedEvent
from infra.errors import TransientError
from infra.event_store.base import EventStore
from infra.event_streams.base import Batch, Ended, Followed, StreamedEvent, StreamEnded
from infra.event_streams.owners import RequestOwners
from infra.resilience.retry import delay_ms
from infra.telemetry.spans import without_span

PAGE = 500
# Readers of the past share so few connections, so that the reads of the API keep theirs.
PAGES_AT_A_TIME = 2
logger = logging.getLogger(__name__)


class Heads(Protocol):
    """Tells the ends of the logs."""

    async def look(self) -> Mapping[str, int]:
        """By context. Raises TransientError."""
        ...


class SharedTail:
    """Reads what is new once, and hands it to the readers of its tenant. A reader of the past reads pages of its own until it has come to
    where the tail is, and joins it there: both know positions, so nothing is left out or repeated between them."""

    def __init__(self, stores: Mapping[str, EventStore], heads: Heads, *, poll_seconds: float, queue_events: int, page: int = PAGE) -> None:
        self._stores = stores
        self._heads = heads
        self._poll_seconds = poll_seconds
        self._queue_events = queue_events
        self._page = page
        self._at: dict[str, int] = {}
        self._readers: dict[str, set[Reader]] = {}
        self._followers: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._pages = asyncio.Semaphore(PAGES_AT_A_TIME)
        self._owners = RequestOwners(stores["requests"])
        self._closed = False

    async def now(self) -> Mapping[str, int]:
        """See the port."""
        return await self._heads.look()

    async def customer_of(self, recorded: RecordedEvent) -> str | None:
        """See the port."""
        return await self._owners.customer_of(recorded)

    async def subscribe(self, followed: Followed, place: Mapping[str, int]) -> Reader:
        """See the port."""
        ends = await self._heads.look()
        if self._closed:
            raise StreamEnded(Ended.DRAINED)
        if self._task is None or self._task.done():
            self._at = dict(ends)
            self._task = asyncio.create_task(self._run(), name="event-tail", context=without_span())
        reader = Reader(self, followed, place, self._queue_events)
        self._readers.setdefault(followed.tenant_id, set()).add(reader)
        self._followers.update(followed.contexts)
        reader.behind()
        return reader

    def forget(self, reader: Reader) -> None:
        """The reader has left; with the last one the tail stops."""
        readers = self._readers.get(reader.followed.tenant_id, set())
        if reader not in readers:
            return
        readers.remove(reader)
        self._followers.subtract(reader.followed.contexts)
        if not readers:
            del self._readers[reader.followed.tenant_id]
        if not self._readers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        """End every stream, and let none begin any more."""
        self._closed = True
        task = self._task
        self._end_all(Ended.DRAINED)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def at(self, context: str) -> int:
        """Up to where the tail has read a log."""
        return self._at[context]

    async def page(self, context: str, after: int) -> tuple[list[RecordedEvent], int]:
        """A page of the past, and up to where it is complete. Raises TransientError."""
        async with self._pages:
            return await self._stores[context].read_events(after, self._page)

    async def _run(self) -> None:
        failures = 0
        try:
            while True:
                try:
                    await self._look()
                    failures = 0
                except TransientError as error:
                    failures += 1
                    logger.warning("the logs cannot be read for streams: %s", error)
                await asyncio.sleep(delay_ms(failures) / 1000 if failures else self._poll_seconds)
        except Exception:
            logger.exception("the tail of the logs failed")
            self._end_all(Ended.FAILED)

    async def _look(self) -> None:
        for context, head in (await self._heads.look()).items():
            if not self._followers[context]:
                self._at[context] = max(head, self._at[context])
            while self._at[context] < head:
                events, through = await self._stores[context].read_events(self._at[context], self._page)
                self._hand_out(events)
                self._at[context] = through

    def _hand_out(self, events: list[RecordedEvent]) -> None:
        for recorded in events:
            readers = self._readers.get(recorded.metadata.tenant_id)
            if readers:
                event = StreamedEvent(recorded)
                for reader in readers:
                    reader.offer(event)

    def _end_all(self, reason: Ended) -> None:
        for reader in [each for readers in self._readers.values() for each in readers]:
            reader.end(reason)


class Reader:
    """One reader. It has met the tail in some logs, whose events wait in its queue, and reads the past of the others."""

    def __init__(self, tail: SharedTail, followed: Followed, place: Mapping[str, int], queue_events: int) -> None:
        self.followed = followed
        self._tail = tail
        self._at = {context: place[context] for context in followed.contexts}
        self._met: set[str] = set()
        self._queue: deque[StreamedEvent] = deque()
        self._queue_events = queue_events
        self._woken = asyncio.Event()
        self._ended: Ended | None = None

    @property
    def place(self) -> Mapping[str, int]:
        """See the port."""
        return self._at

    def leave(self) -> None:
        """See the port."""
        self._tail.forget(self)

    def end(self, reason: Ended) -> None:
        """The stream ends with the next look at it; what waits is not sent any more."""
        self._ended = self._ended or reason
        self._woken.set()

    def offer(self, event: StreamedEvent) -> None:
        """One event of the tail."""
        recorded = event.recorded
        if self._ended or recorded.context not in self._met or not self.followed.wants(recorded):
            return
        if len(self._queue) >= self._queue_events:
            self._queue.clear()
            self.end(Ended.TOO_SLOW)
            return
        self._queue.append(event)
        self._woken.set()

    async def next(self, seconds: float) -> Batch:
        """See the port."""
        if self._nothing_to_do():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            if self._nothing_to_do():
                # All that was offered was taken, so the reader is where the tail is.
                self._at.update({context: max(self._at[context], self._tail.at(context)) for context in self._met})
                return Batch((), dict(self._at))
        if self._ended:
            raise StreamEnded(self._ended)
        if self._queue:
            return self._taken()
        return await self._of_the_past(self.behind()[0])

    def _nothing_to_do(self) -> bool:
        """Nothing waits, and no log is behind. No other task runs between this look and the wait that follows it."""
        self._woken.clear()
        return not (self._ended or self._queue or self.behind())

    def behind(self) -> list[str]:
        """The logs in which the reader has not met the tail. One in which it is where the tail is, or further, meets it here and now."""
        self._met |= {context for context in self._at if self._at[context] >= self._tail.at(context)}
        return [context for context in self._at if context not in self._met]

    def _taken(self) -> Batch:
        """What waits. A reader that met the tail further on has read some of it before."""
        events = []
        while self._queue:
            event = self._queue.popleft()
            recorded = event.recorded
            if recorded.position > self._at[recorded.context]:
                self._at[recorded.context] = recorded.position
                events.append(event)
        return Batch(events, dict(self._at))

    async def _of_the_past(self, context: str) -> Batch:
        try:
            found, through = await self._tail.page(context, self._at[context])
        except TransientError as error:
            logger.warning("the past of %s cannot be read for a stream: %s", context, error)
            raise StreamEnded(Ended.UNAVAILABLE) from error
        self._at[context] = through
        tenant, wants = self.followed.tenant_id, self.followed.wants
        events = [StreamedEvent(each) for each in found if each.metadata.tenant_id == tenant and wants(each)]
        return Batch(events, dict(self._at))
