"""The life of a worker of which one is active: lead, work, and when the leadership or a server is lost begin anew; base of dispatcher and
scheduler."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Sequence

from infra.errors import TransientError
from infra.kafka.producer import PagePublisher
from infra.postgres.leader import AdvisoryLeader
from infra.resilience.retry import delay_ms
from infra.runtime.connected_worker import ConnectedWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry

logger = logging.getLogger(__name__)


class LeadingWorker(ConnectedWorker):
    """Stands by until it leads. Two leaders for a moment must do no harm: what they publish is absorbed or refused."""

    def __init__(
        self, name: str, contexts: Sequence[str], settings: MeshSettings, telemetry: Telemetry, *, leader_poll_seconds: float
    ) -> None:
        super().__init__(name, contexts, settings, telemetry)
        self.leader = AdvisoryLeader(settings.postgres_dsn, settings.topic_prefix + name)
        self.publisher = PagePublisher(settings, settings.kafka_bootstrap, f"agentmesh-{name}")
        self._leader_poll_seconds = leader_poll_seconds
        self._ended = asyncio.Event()
        self._ended.set()
        self._failures = 0
        telemetry.metrics.retries_total.labels(name=name)

    @abstractmethod
    async def lead(self) -> None:
        """Work while `leader.still_leads()` and until `stopping` is set. Raises TransientError to begin anew."""

    def succeeded(self) -> None:
        """Something worked: the next failure is the first again."""
        self._failures = 0

    async def run(self) -> None:
        """Lead when possible, until `stopping` is set."""
        self._ended.clear()
        self.working = True
        try:
            while not self.stopping.is_set():
                self.attempted()
                try:
                    if await self.leader.try_lead():
                        logger.info("%s leads", self.name)
                        await self.lead()
                    await self.pause(self._leader_poll_seconds)
                except TransientError as error:
                    self._failures += 1
                    self.telemetry.metrics.retries_total.labels(name=self.name).inc()
                    logger.warning("%s begins anew: %s", self.name, error)
                    await self.pause(delay_ms(self._failures) / 1000)
        finally:
            await self.leader.release()
            await self.publisher.close()
            self._ended.set()

    async def drain(self) -> None:
        """The page in work ends by itself."""
        await self._ended.wait()
