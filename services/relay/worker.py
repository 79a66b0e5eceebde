"""The relay worker: one relay per context, in one process; run by `agentmesh run relay`. A second one stands by."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from contracts.topics import CONTEXTS, dead_letters_topic, events_topic, rejections_topic
from infra.event_store.base import EventStore
from infra.event_store.heads import LogHeads
from infra.kafka.producer import PagePublisher
from infra.relay_positions.postgres import PostgresRelayPosition
from infra.runtime.connected_worker import DRAIN_SHARE, ConnectedWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from services.relay.relay import ContextRelay
from services.relay.settings import RelaySettings
from services.relay.work_topics import WorkTopics


class RelayWorker(ConnectedWorker):
    """Relays every context. A relay that waits for a server, or for its turn to lead, is alive."""

    def __init__(self, settings: MeshSettings, telemetry: Telemetry) -> None:
        super().__init__("relay", CONTEXTS, settings, telemetry)
        relay_settings = RelaySettings()
        self._heads = LogHeads(self.database, CONTEXTS)
        self._relays = [self._relay_of(store, relay_settings) for store in self.stores.values()]
        self._ended = asyncio.Event()
        self._ended.set()

    def _relay_of(self, store: EventStore, relay_settings: RelaySettings) -> ContextRelay:
        settings = self.settings
        return ContextRelay(
            store,
            PostgresRelayPosition(settings.postgres_dsn, store.context),
            PagePublisher(settings, settings.kafka_bootstrap, f"agentmesh-relay-{store.context}"),
            relay_settings,
            self.telemetry,
            settings.topic_prefix,
            self.attempted,
            WorkTopics(settings),
            self._heads,
        )

    def required_topics(self) -> Collection[str]:
        """Events, rejections and dead letters of every context."""
        return {topic(context) for context in CONTEXTS for topic in (events_topic, rejections_topic, dead_letters_topic)}

    async def run(self) -> None:
        """Every context's relay, until all have ended their page in work."""
        self._ended.clear()
        self.working = True
        try:
            async with asyncio.TaskGroup() as group:
                for relay in self._relays:
                    group.create_task(relay.run(self.stopping))
        finally:
            self._ended.set()

    async def drain(self) -> None:
        """Finish the pages in work; a page that takes too long is repeated by the next leader."""
        try:
            async with asyncio.timeout(self.settings.grace_seconds * DRAIN_SHARE):
                await self._ended.wait()
        except TimeoutError:
            return


def build(settings: MeshSettings, telemetry: Telemetry) -> RelayWorker:
    """The relay of all contexts."""
    return RelayWorker(settings, telemetry)
