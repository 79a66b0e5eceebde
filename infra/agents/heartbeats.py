"""What a host says of itself: its runs in, one record on the fleet topic per interval out, and a goodbye at the end; run by the host."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from contracts.fleet import HostHeartbeat, RunningTask, fleet_headers
from contracts.ids import TaskId
from infra.agents.runs import Run
from infra.errors import TransientError
from infra.kafka.producer import OutgoingRecord, PagePublisher

logger = logging.getLogger(__name__)

GOODBYE_SECONDS = 2.0


class Heartbeats:
    """A heartbeat that cannot be sent is left out: the next one says more than it. Only the dispatcher judges silence."""

    def __init__(
        self,
        publisher: PagePublisher,
        topic: str,
        host_id: str,
        kinds: Sequence[str],
        *,
        capacity: int,
        interval_seconds: float,
        running: Callable[[], Iterable[Run]],
    ) -> None:
        self._publisher = publisher
        self._topic = topic
        self._host_id = host_id
        self._kinds = tuple(kinds)
        self._capacity = capacity
        self._interval = interval_seconds
        self._running = running

    async def run(self) -> None:
        """Tell until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            try:
                await self._publisher.publish([self.record()])
            except TransientError as error:
                logger.warning("the heartbeat of %s was not heard: %s", self._host_id, error)
            await asyncio.sleep(max(0.0, self._interval - (clock() - started)))

    def record(self) -> OutgoingRecord:
        """What the host has to say now."""
        held = tuple(RunningTask(task_id=TaskId(run.task_id), attempt=run.attempt) for run in self._running())
        heartbeat = HostHeartbeat(
            sent_at=datetime.now(UTC),
            host_id=self._host_id,
            kinds=self._kinds,
            running=held,
            capacity=self._capacity,
            load=round(len(held) / self._capacity, 3),
            interval_seconds=self._interval,
        )
        headers = fleet_headers(heartbeat, self._host_id, str(uuid.uuid4()))
        return OutgoingRecord(self._topic, self._host_id.encode(), heartbeat.to_json(), headers)

    async def goodbye(self) -> None:
        """The host leaves: its record is deleted. Nobody waits long for this, since its silence would say the same later."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._publisher.publish([OutgoingRecord(self._topic, self._host_id.encode(), None, [])])
        except (TransientError, TimeoutError) as error:
            logger.warning("the goodbye of %s was not heard: %s", self._host_id, error)
        await self._publisher.close()
