"""Commands of many callers in, pages on the command topics out, one page under way at a time; run by the gateway's worker."""

from __future__ import annotations

import asyncio
from typing import Protocol

from contracts.envelope import command_headers
from contracts.topics import commands_topic
from infra.commands.base import OutgoingCommand
from infra.errors import BulkheadFull, CallTimedOut, TransientError
from infra.kafka.producer import OutgoingRecord
from infra.telemetry.spans import without_span

NAME = "commands"
MOST_AT_ONCE = 500
STOP_SECONDS = 5.0


class Publisher(Protocol):
    """What publishes a page; `infra.kafka.producer.PagePublisher` does."""

    async def publish(self, records: list[OutgoingRecord]) -> None: ...
    async def close(self) -> None: ...


class KafkaCommandPublisher:
    """Commands that come while a page is under way go together into the next one, so that a broker that is slow costs waiting callers and
    not ever more requests. At most `most_waiting` callers wait, each for at most `seconds`; beyond that they are refused at once."""

    def __init__(self, publisher: Publisher, *, topic_prefix: str, most_waiting: int, seconds: float) -> None:
        self._publisher = publisher
        self._topic_prefix = topic_prefix
        self._most_waiting = most_waiting
        self._seconds = seconds
        self._waiting: list[tuple[OutgoingRecord, asyncio.Future[None]]] = []
        self._under_way = 0
        self._work: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Commands that are not acknowledged yet."""
        return len(self._waiting) + self._under_way

    async def publish(self, command: OutgoingCommand) -> None:
        """Return when the broker has the command. See the port for what it raises."""
        if self.waiting >= self._most_waiting:
            raise BulkheadFull(NAME, self._most_waiting, 0)
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._record(command), acknowledged))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._publish_all(), name="publish-commands", context=without_span())
        try:
            async with asyncio.timeout(self._seconds):
                await acknowledged
        except TimeoutError:
            raise CallTimedOut("Kafka", self._seconds) from None

    def _record(self, command: OutgoingCommand) -> OutgoingRecord:
        topic = self._topic_prefix + commands_topic(command.context)
        return OutgoingRecord(topic, command.aggregate_id.encode(), command.value, command_headers(command.metadata))

    async def _publish_all(self) -> None:
        """Page after page, until nobody waits. What nobody waits for any more is not published."""
        while self._waiting:
            taken, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            page = [(record, future) for record, future in taken if not future.done()]
            if not page:
                continue
            self._under_way = len(page)
            try:
                await self._publisher.publish([record for record, _ in page])
            except Exception as error:  # the callers are told; a bug must not leave them waiting
                _fail(page, error)
            except asyncio.CancelledError:
                _fail(page, TransientError("the publisher of commands was closed"))
                raise
            else:
                for _, future in page:
                    if not future.done():
                        future.set_result(None)
            finally:
                self._under_way = 0

    async def close(self) -> None:
        """Publish what waits, within a few seconds, and close the producer."""
        if self._work is not None and not self._work.done():
            await asyncio.wait({self._work}, timeout=STOP_SECONDS)
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        _fail(self._waiting, TransientError("the publisher of commands was closed"))
        self._waiting = []
        await self._publisher.close()


def _fail(page: list[tuple[OutgoingRecord, asyncio.Future[None]]], error: Exception) -> None:
    for _, future in page:
        if not future.done():
            future.set_exception(error)
