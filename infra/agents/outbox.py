"""Sends the commands of many runs together: results are recorded first, then published in one page; used by the agent host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from contracts.envelope import Metadata, command_headers
from contracts.message import Command
from contracts.topics import commands_topic
from infra.agents.runs import Run, TaskRuns
from infra.kafka.producer import OutgoingRecord, PagePublisher
from infra.resilience.retry import TransientRetry

MOST_AT_ONCE = 500


class Outgoing(NamedTuple):
    """A command of a run; `result_of` names the run that it ends."""

    command: Command
    metadata: Metadata
    result_of: Run | None


class RunOutbox:
    """Commands in, each returned from when the broker has it. A result whose run is no longer ours is dropped: somebody else tells it."""

    def __init__(self, runs: TaskRuns, publisher: PagePublisher, topic_prefix: str, retry: Callable[[], TransientRetry]) -> None:
        self._runs = runs
        self._publisher = publisher
        self._prefix = topic_prefix
        self._retry = retry
        self._waiting: asyncio.Queue[tuple[Outgoing, asyncio.Future[bool]]] = asyncio.Queue()

    async def send(self, outgoing: Outgoing) -> bool:
        """Publish a command, with whatever else waits; False when it was dropped."""
        return await self.post(outgoing)

    def post(self, outgoing: Outgoing) -> asyncio.Future[bool]:
        """The same without waiting: commands go out in the order in which they were handed over."""
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((outgoing, told))
        return told

    async def run(self) -> None:
        """Send until cancelled; servers that are away are waited for."""
        while True:
            page = [await self._waiting.get()]
            while not self._waiting.empty() and len(page) < MOST_AT_ONCE:
                page.append(self._waiting.get_nowait())
            try:
                sent = await self._send([outgoing for outgoing, _ in page])
            except BaseException:
                for _, told in page:
                    told.cancel()
                raise
            for (_, told), done in zip(page, sent, strict=True):
                if not told.done():
                    told.set_result(done)

    async def _send(self, page: list[Outgoing]) -> list[bool]:
        results = {
            outgoing.result_of: (outgoing.command.type_name, outgoing.command.model_dump(mode="json"))
            for outgoing in page
            if outgoing.result_of is not None
        }
        ours = await self._retry()("finish runs", lambda: self._runs.finish(results)) if results else set()
        sent = [outgoing.result_of is None or outgoing.result_of in ours for outgoing in page]
        records = [self.record(outgoing.command, outgoing.metadata) for outgoing, goes in zip(page, sent, strict=True) if goes]
        if records:
            await self._retry()("publish", lambda: self._publisher.publish(records))
        return sent

    def record(self, command: Command, metadata: Metadata) -> OutgoingRecord:
        """The Kafka record of a command."""
        topic = self._prefix + commands_topic(command.context)
        return OutgoingRecord(topic, command.aggregate_id.encode(), command.to_json(), command_headers(metadata))

    async def close(self) -> None:
        """Close the producer."""
        await self._publisher.close()
