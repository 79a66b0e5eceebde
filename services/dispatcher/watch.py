"""Listens to the fleet: the fleet topic in, probes out, what is heard told to Liveness; run beside the dispatcher while it leads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from datetime import UTC, datetime

from contracts.fleet import FleetProbe
from infra.errors import TransientError
from infra.fleet.base import FleetTopic
from services.dispatcher.liveness import Liveness

logger = logging.getLogger(__name__)

READ_SECONDS = 0.25
DEAF_SECONDS = 30.0
PAUSE_SECONDS = 1.0


class FleetWatch:
    """Never raises but CancelledError: where the fleet cannot be heard, nothing is judged, and dispatching goes on."""

    def __init__(self, topic: FleetTopic, liveness: Liveness, prober_id: str, probe_seconds: float) -> None:
        self._topic = topic
        self._liveness = liveness
        self._prober_id = prober_id
        self._probe_seconds = probe_seconds
        self._writing: asyncio.Task[None] | None = None
        self._probed_at = float("-inf")

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            while True:
                try:
                    await self._topic.start()
                    await self._listen()
                except TransientError as error:
                    logger.warning("the fleet is not heard: %s", error)
                await self._topic.close()
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            if self._writing is not None:
                self._writing.cancel()
                await asyncio.gather(self._writing, return_exceptions=True)
            await self._topic.close()

    async def _listen(self) -> None:
        """Until a server is away, or nothing is heard for so long that the consumer may be stuck."""
        heard_at = time.monotonic()
        while time.monotonic() - heard_at < DEAF_SECONDS:
            for partition, said in await self._topic.read(READ_SECONDS):
                heard_at = time.monotonic()
                self._liveness.heard(partition, said, heard_at)
            self._write(time.monotonic())

    def _write(self, now: float) -> None:
        """Send what is due, beside the reading, one after the other."""
        if self._writing is not None and not self._writing.done():
            return
        if now - self._probed_at >= self._probe_seconds:
            self._probed_at = now
            number = self._liveness.next_probe(now)
            probe = FleetProbe(sent_at=datetime.now(UTC), prober_id=self._prober_id, number=number)
            self._writing = asyncio.create_task(_told(self._topic.probe(probe)), name="fleet-probe")
        elif forgotten := self._liveness.take_forgotten(now):
            logger.info("%d hosts were silent for long and are forgotten", len(forgotten))
            self._writing = asyncio.create_task(_told(self._topic.forget(forgotten)), name="fleet-forget")


async def _told(writing: Awaitable[None]) -> None:
    try:
        await writing
    except TransientError as error:
        logger.warning("nothing can be written to the fleet topic: %s", error)
